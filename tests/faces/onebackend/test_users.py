"""User Svc over HTTP: every endpoint of the contract's section 10, as strict and as careless clients use it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt
import pytest

from promptd.core.identity import ALL_PERMISSIONS
from tests.faces.client import Http, Response
from tests.faces.conftest import Serve, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "shop.example"
ZERO = "0001-01-01T00:00:00Z"
TOKEN_MEMBERS = {
    "id",
    "internalId",
    "app",
    "appId",
    "userId",
    "device",
    "token",
    "active",
    "createdAt",
    "updatedAt",
    "expiresAt",
}
TAMPERED = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyIxdWkiOiJhZG1pbiJ9.AAAA"


def error(response: Response, status: int, text: str | None = None) -> None:
    """The exact form of a refusal on this wire."""
    assert response.status == status, response.body
    assert set(response.json) == {"error"}
    assert response.body.startswith(b'{"error": "')
    if text is not None:
        assert response.json["error"] == text


def done(response: Response) -> Any:
    assert response.status == 200, response.body
    assert response.headers["content-type"] == "application/json"
    return response.json


class Account(Http):
    """A client with the token of a new user."""

    token: Any
    slug: str


async def register(server: Server, slug: str, **more: Any) -> Account:
    wish = {"appHost": HOST, "slug": slug, "password": "secret"} | more
    token = done(await server.http.of(None).post("/user-svc/register", wish))["token"]
    account = Account(server.port, token["token"])
    account.token, account.slug = token, slug
    return account


async def login(server: Server, slug: str, password: str = "secret", **more: Any) -> Any:
    wish = {"appHost": HOST, "slug": slug, "password": password} | more
    return done(await server.http.of(None).post("/user-svc/login", wish))["token"]


# ------------------------------------------------------------------ login and register


async def test_a_token_has_the_members_that_strict_clients_know(shared: Server) -> None:
    account = await register(shared, "token-members", name="Ada", device="cli")
    token = account.token
    assert set(token) == TOKEN_MEMBERS
    assert token["app"] == {"id": token["appId"], "host": HOST}
    assert token["internalId"] == f"{token['appId']}:{token['id']}"
    assert (token["device"], token["active"]) == ("cli", True)
    created, expires = (datetime.fromisoformat(token[name]) for name in ("createdAt", "expiresAt"))
    assert 299 < (expires - created).total_seconds() < 301
    again = await login(shared, "token-members", device="cli")
    assert set(again) == TOKEN_MEMBERS
    assert again["id"] == token["id"], "a login takes up the session of its app and device"
    assert (await login(shared, "token-members"))["device"] == "unknown"


async def test_a_token_is_checked_by_clients_with_the_public_key(shared: Server) -> None:
    account = await register(shared, "reader")
    answer = done(await shared.http.of(None).get("/user-svc/public-key"))
    assert set(answer) == {"publicKey"}
    read = jwt.decode(account.token["token"], answer["publicKey"], algorithms=["RS256"])
    assert read["1ui"] == account.token["userId"]
    assert (read["1ai"], read["1sl"], read["1ro"], read["1de"], read["jti"]) == (
        account.token["appId"],
        "reader",
        ["user-svc:user"],
        "unknown",
        account.token["id"],
    )
    assert read["exp"] - read["iat"] == 300


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("login", {"slug": "x", "password": "y"}, 400, "AppHost missing"),
        ("login", None, 400, "AppHost missing"),
        ("login", {"appHost": HOST, "slug": "nobody-at-all", "password": "y"}, 500, "Internal Server Error"),
        ("login", {"appHost": HOST, "slug": "no-password"}, 500, "Internal Server Error"),
        ("login", {"appHost": HOST}, 500, "Internal Server Error"),
        ("login", {"appHost": HOST, "slug": "errors", "password": "wrong"}, 401, "Invalid Password"),
        ("login", {"appHost": HOST, "slug": "errors"}, 401, "Invalid Password"),
        ("register", {"slug": "x", "password": "y"}, 400, "AppHost missing"),
        ("register", {"appHost": HOST, "password": "y"}, 400, "Slug missing"),
        ("register", {"appHost": HOST, "slug": "errors", "password": "y"}, 500, "Internal Server Error"),
        ("register", {"appHost": HOST, "slug": "prompt-svc", "password": "y"}, 500, "Internal Server Error"),
        ("register", {"appHost": HOST, "slug": "Not A Slug"}, 400, None),
        ("register", {"appHost": HOST, "slug": "a--b"}, 400, None),
        ("register", {"appHost": "x" * 300, "slug": "fine"}, 400, None),
        ("register", {"appHost": HOST, "slug": ["a"]}, 400, None),
        ("register", [], 400, None),
        ("register", "text", 400, None),
    ],
)
async def test_refusals_without_a_token(shared: Server, path: str, body: Any, status: int, text: str | None) -> None:
    if not await shared.house.walk.people.users.apps(_root(shared), hosts=("made.example",)):
        await register(shared, "errors", appHost="made.example")
        await register(shared, "no-password", password="")
    error(await shared.http.of(None).post(f"/user-svc/{path}", body), status, text)


def _root(shared: Server) -> Any:
    from promptd.core.model import Caller

    return Caller("root", admin=True)


async def test_members_in_any_case_and_of_any_type_are_understood(shared: Server) -> None:
    wish = {
        "APPHOST": HOST,
        "Slug": 1234,
        "password": 5678,
        "extra": {"a": 1},
        "contact": {"id": "a@b"},
        "device": None,
    }
    token = done(await shared.http.of(None).post("/user-svc/register", wish))["token"]
    assert token["device"] == "unknown"
    again = {"appHost": HOST, "slug": "1234", "password": "5678"}
    assert done(await shared.http.of(None).post("/user-svc/login", again))["token"]["userId"] == token["userId"]


async def test_a_body_that_is_no_json(shared: Server) -> None:
    error(await shared.http.of(None).call("POST", "/user-svc/login", raw=b'{"appHost":'), 400, "Invalid JSON")


async def test_guessing_is_slowed_down(serve: Serve) -> None:
    async with serve() as server:
        await register(server, "ada")
        wish = {"appHost": HOST, "slug": "ada", "password": "wrong"}
        answers = [await server.http.of(None).post("/user-svc/login", wish) for _ in range(6)]
        assert [answer.status for answer in answers] == [401] * 5 + [429]
        assert answers[-1].headers["retry-after"] == "1"
        error(answers[-1], 429)
        right = await server.http.of(None).post("/user-svc/login", wish | {"password": "secret"})
        error(right, 429)


# ------------------------------------------------------------------ who am I


async def test_reading_oneself(shared: Server) -> None:
    account = await register(shared, "self-reader", name="Ada")
    for body in (None, {}, {"countTokens": True}):
        answer = done(await account.post("/user-svc/self", body))
        assert set(answer) == {"user", "roles", "tokenCount"}
        assert set(answer["user"]) == {"id", "slug", "name", "createdAt", "updatedAt"}
        assert (answer["user"]["slug"], answer["roles"], answer["tokenCount"]) == ("self-reader", ["user-svc:user"], 1)
    done(await account.call("POST", "/user-svc/self", raw=b"null"))
    await login(shared, "self-reader", device="phone")
    assert done(await account.post("/user-svc/self"))["tokenCount"] == 2
    error(await account.of(None).post("/user-svc/self"), 500, "Internal Server Error")


async def test_a_native_key_is_the_same_user_on_this_wire(shared: Server) -> None:
    """The first user and the admin key share an id."""
    answer = done(await shared.admin.post("/user-svc/self"))
    assert (answer["user"]["id"], answer["user"]["slug"], answer["user"]["name"]) == ("admin", "1backend", "Admin")
    assert answer["roles"] == ["user-svc:admin", "user-svc:user"]
    ordinary = done(await shared.http.post("/user-svc/self"))
    assert ordinary["user"] == {"id": "ada", "slug": "ada", "createdAt": ZERO, "updatedAt": ZERO}
    account = await register(shared, "two-doors")
    by_key = await shared.client(account.token["userId"])
    assert done(await by_key.post("/user-svc/self"))["user"]["slug"] == "two-doors"


async def test_changing_oneself(shared: Server) -> None:
    account = await register(shared, "changer")
    wish = {"name": "New", "thumbnailFileId": "file-1", "labels": {"team": "red"}}
    assert done(await account.call("PUT", "/user-svc/self", wish)) == {}
    assert done(await account.call("PUT", "/user-svc/self")) == {}
    user = done(await account.post("/user-svc/self"))["user"]
    assert {name: user[name] for name in wish} == wish
    assert set(user) == {"id", "slug", "createdAt", "updatedAt", *wish}
    wrongs: list[Any] = [{"name": "x" * 300}, {"labels": {"a": [1]}}, {"labels": 5}, {"name": {}}]
    for wrong in wrongs:
        error(await account.call("PUT", "/user-svc/self", wrong), 400)


async def test_asking_for_a_permission(shared: Server) -> None:
    account = await register(shared, "asker")
    for permission, held in (
        ("chat-svc:thread:view", True),
        ("prompt-svc:prompt:create", False),
        ("other-svc:x:y", False),
        ("a%2Fb%20c", False),
    ):
        answer = done(await account.post(f"/user-svc/self/has/{permission}"))
        assert set(answer) == {"authorized", "appId", "until", "user", "app"}
        assert (answer["authorized"], answer["appId"]) == (held, account.token["appId"])
        assert answer["app"] == {"id": account.token["appId"], "host": HOST}
        assert answer["user"]["slug"] == "asker"
        assert answer["until"] > answer["user"]["createdAt"]
    grant = {"permits": [{"appHost": "*", "permission": "other-svc:*", "slugs": ["asker"]}]}
    done(await shared.admin.call("PUT", "/user-svc/permits", grant))
    assert done(await account.post("/user-svc/self/has/other-svc:x:y"))["authorized"] is True
    assert done(await shared.admin.post("/user-svc/self/has/anything:at:all"))["authorized"] is True
    error(await account.of(None).post("/user-svc/self/has/x"), 422, "No Auth Header")


# ------------------------------------------------------------------ tokens


async def test_refreshing(shared: Server) -> None:
    account = await register(shared, "refresher", device="cli")
    fresh = done(await account.post("/user-svc/refresh-token"))["token"]
    assert set(fresh) == TOKEN_MEMBERS
    assert fresh["id"] != account.token["id"]
    assert (fresh["userId"], fresh["appId"], fresh["device"]) == (
        account.token["userId"],
        account.token["appId"],
        "cli",
    )
    for secret in (fresh["token"], account.token["token"]):
        done(await account.of(secret).post("/user-svc/self"))
    error(await account.of(None).post("/user-svc/refresh-token"), 422, "422 Unprocessable Entity")
    error(await shared.admin.post("/user-svc/refresh-token"), 401, "Unauthorized")


async def test_an_expired_token_works_and_refreshes(serve: Serve) -> None:
    async with serve(tokens={"seconds": 0.001}) as server:
        account = await register(server, "ada")
        assert done(await account.post("/user-svc/self"))["user"]["slug"] == "ada"
    async with serve(tokens={"seconds": 0.001, "auto_refresh": False}) as server:
        same = account.of(account.key)
        same.port = server.port
        response = await same.post("/user-svc/self")
        error(response, 401)
        assert "token refresh failed" in response.json["error"]
        done(await same.post("/user-svc/refresh-token"))


async def test_exchanging(shared: Server) -> None:
    account = await register(shared, "exchanger", device="cli")
    path = "/user-svc/token/exchange"
    there = done(await account.call("PUT", path, {"newAppHost": "other.example"}))["token"]
    assert set(there) == TOKEN_MEMBERS
    assert (there["app"]["host"], there["userId"], there["device"]) == ("other.example", account.token["userId"], "cli")
    by_id = done(await account.call("PUT", path, {"newAppId": there["appId"], "newDevice": "phone"}))["token"]
    assert (by_id["appId"], by_id["device"]) == (there["appId"], "phone")
    error(await account.call("PUT", path, {"newAppId": "app_nobody"}), 404)
    error(await shared.admin.call("PUT", path, {"newAppHost": "other.example"}), 401, "Unauthorized")


async def test_a_revoked_token_is_refused_at_once(shared: Server) -> None:
    account = await register(shared, "leaver")
    phone = account.of((await login(shared, "leaver", device="phone"))["token"])
    done(await account.post("/user-svc/self"))
    assert done(await account.call("DELETE", "/user-svc/tokens")) == {}
    response = await account.post("/user-svc/self")
    error(response, 401)
    assert "token refresh failed" in response.json["error"]
    done(await phone.post("/user-svc/self"))
    for wish in ({"allTokens": True}, {"userId": "admin"}):
        error(await phone.call("DELETE", "/user-svc/tokens", wish), 401, "Unauthorized")
    done(await shared.admin.call("DELETE", "/user-svc/tokens", {"userId": account.token["userId"]}))
    error(await phone.post("/user-svc/self"), 401)


# ------------------------------------------------------------------ passwords


async def test_changing_and_resetting_the_password(shared: Server) -> None:
    account = await register(shared, "forgetful")
    path = "/user-svc/change-password"
    wrong = await account.post(path, {"currentPassword": "wrong", "newPassword": "better"})
    error(wrong, 500, "Internal Server Error")
    error(await account.post(path, {"currentPassword": "secret"}), 400)
    assert done(await account.post(path, {"currentPassword": "secret", "newPassword": "better"})) == {}
    error(await account.post("/user-svc/self"), 401)
    again = shared.http.of((await login(shared, "forgetful", "better"))["token"])
    reset = f"/user-svc/{account.token['userId']}/reset-password"
    error(await again.post(reset, {"newPassword": "best"}), 401, "Unauthorized")
    error(await shared.admin.post("/user-svc/usr_nobody/reset-password", {"newPassword": "best"}), 404)
    assert done(await shared.admin.post(reset, {"newPassword": "best"})) == {}
    error(await again.post("/user-svc/self"), 401)
    await login(shared, "forgetful", "best")


# ------------------------------------------------------------------ permits, permissions, apps, users


async def test_a_permit_counts_at_once(shared: Server) -> None:
    """As the contract's section 16, point 12: a role is given the prompt permissions through permits."""
    account = await register(shared, "prompter", appHost="permits.example")
    query: Any = {"query": {"limit": 1}}
    error(await account.post("/prompt-svc/prompts", query), 401, "Unauthorized")
    grant = {
        "permits": [{"appHost": "permits.example", "permission": "prompt-svc:prompt:*", "roles": ["user-svc:user"]}]
    }
    for _ in range(2):
        assert done(await shared.admin.call("PUT", "/user-svc/permits", grant)) == {}
    assert set(done(await account.post("/prompt-svc/prompts", query))) >= {"prompts", "count"}
    listed = done(await shared.admin.post("/user-svc/permits", {"permission": "prompt-svc:prompt:*"}))["permits"]
    assert len(listed) == 1, "duplicates are skipped"
    (permit,) = listed
    assert set(permit) == {"internalId", "appId", "id", "createdAt", "updatedAt", "deletedAt", "permission", "roles"}
    assert permit["internalId"] == f"{account.token['appId']}:{permit['id']}"
    assert (permit["deletedAt"], permit["roles"]) == (ZERO, ["user-svc:user"])
    other = await register(shared, "prompter-elsewhere")
    error(await other.post("/prompt-svc/prompts", query), 401, "Unauthorized")


async def test_a_user_permits_what_is_his_own(shared: Server) -> None:
    account = await register(shared, "cat-svc")
    mine = {"permission": "cat-svc:cat:pet", "slugs": ["cat-friend"]}
    assert done(await account.call("PUT", "/user-svc/permits", {"permits": [mine]})) == {}
    assert done(await account.call("PUT", "/user-svc/permits", {"permits": mine})) == {}
    assert done(await account.call("PUT", "/user-svc/permits")) == {}
    friend = await register(shared, "cat-friend")
    assert done(await friend.post("/user-svc/self/has/cat-svc:cat:pet"))["authorized"] is True
    theirs = {"permission": "prompt-svc:prompt:create", "slugs": ["cat-svc"]}
    error(await account.call("PUT", "/user-svc/permits", {"permits": [mine, theirs]}), 401, "Unauthorized")
    error(await account.post("/user-svc/permits"), 401, "Unauthorized")
    listed = done(await shared.admin.post("/user-svc/permits", {"slug": "cat-friend"}))["permits"]
    assert [permit["permission"] for permit in listed] == ["cat-svc:cat:pet"]
    for wrong in ({"permits": [{"slugs": ["a"]}]}, {"permits": [{"permission": "cat-svc:x"}]}, {"permits": [5]}):
        error(await account.call("PUT", "/user-svc/permits", wrong), 400)


async def test_the_permissions_of_roles(shared: Server) -> None:
    account = await register(shared, "role-reader")
    answer = done(await account.post("/user-svc/permissions", {"roles": ["user-svc:user"]}))
    assert set(answer) == {"permissions"}
    assert "chat-svc:thread:view" in answer["permissions"]
    assert "prompt-svc:prompt:create" not in answer["permissions"]
    assert done(await account.post("/user-svc/permissions")) == {"permissions": []}
    error(await account.post("/user-svc/permissions", {"roles": ["user-svc:admin"]}), 401, "Unauthorized")
    admins = done(await shared.admin.post("/user-svc/permissions", {"roles": ["user-svc:admin"]}))["permissions"]
    assert set(admins) >= ALL_PERMISSIONS


async def test_apps(shared: Server) -> None:
    account = await register(shared, "app-reader", appHost="apps.example")
    own = {"id": account.token["appId"], "host": "apps.example"}
    for body in (None, {"host": ["apps.example"]}, {"host": "apps.example"}, {"ids": [own["id"]]}):
        assert done(await account.post("/user-svc/apps", body)) == {"apps": [own]}
    assert done(await account.post("/user-svc/apps", {"host": ["no.example"]})) == {"apps": []}
    assert own in done(await shared.admin.post("/user-svc/apps"))["apps"]


async def test_listing_and_deleting_users(shared: Server) -> None:
    account = await register(shared, "short-lived")
    error(await account.post("/user-svc/users"), 401, "Unauthorized")
    users = done(await shared.admin.post("/user-svc/users", {"limit": 1000}))["users"]
    assert "short-lived" in {user["slug"] for user in users}
    assert not any("assword" in name for user in users for name in user)
    page = done(await shared.admin.post("/user-svc/users", {"limit": 1}))
    rest = done(await shared.admin.post("/user-svc/users", {"limit": 1000, "after": page["after"]}))["users"]
    assert [*page["users"], *rest] == users
    path = f"/user-svc/user/{account.token['userId']}"
    error(await account.call("DELETE", path), 401, "Unauthorized")
    assert done(await shared.admin.call("DELETE", path)) == {}
    error(await account.post("/user-svc/self"), 401)
    error(await shared.admin.call("DELETE", path), 404)
    wish = {"appHost": HOST, "slug": "short-lived", "password": "secret"}
    error(await shared.http.of(None).post("/user-svc/login", wish), 500, "Internal Server Error")


# ------------------------------------------------------------------ the door

NEED_TOKEN = [
    ("PUT", "/user-svc/self"),
    ("PUT", "/user-svc/token/exchange"),
    ("DELETE", "/user-svc/tokens"),
    ("POST", "/user-svc/change-password"),
    ("POST", "/user-svc/usr_1/reset-password"),
    ("PUT", "/user-svc/permits"),
    ("POST", "/user-svc/permits"),
    ("POST", "/user-svc/permissions"),
    ("POST", "/user-svc/apps"),
    ("POST", "/user-svc/users"),
    ("DELETE", "/user-svc/user/usr_1"),
]


@pytest.mark.parametrize(("method", "path"), NEED_TOKEN)
async def test_without_a_token_or_with_a_wrong_one(shared: Server, method: str, path: str) -> None:
    error(await shared.http.of(None).call(method, path), 422, "422 Unprocessable Entity")
    error(await shared.http.of("").call(method, path), 422, "422 Unprocessable Entity")
    for wrong in ("rubbish", TAMPERED, "pk-x-y"):
        response = await shared.http.of(wrong).call(method, path)
        error(response, 401)
        assert response.json["error"].startswith("Unauthorized: failed to parse JWT: ")


@pytest.mark.parametrize(("method", "path"), [*NEED_TOKEN, ("POST", "/user-svc/login"), ("POST", "/user-svc/register")])
@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b'{"a":', b"\xff", b"[" * 3000, b'"\\ud800"'])
async def test_no_body_breaks_anything(shared: Server, method: str, path: str, body: bytes) -> None:
    response = await shared.admin.call(method, path, raw=body)
    assert response.status in (200, 400, 401, 404), response.body


async def test_a_token_without_bearer_is_taken_too(shared: Server) -> None:
    account = await register(shared, "bare")
    bare = account.of(None)
    response = await bare.post("/user-svc/self", headers={"Authorization": account.token["token"]})
    assert done(response)["user"]["slug"] == "bare"


async def test_a_token_opens_the_native_api_with_the_same_permissions(shared: Server) -> None:
    account = await register(shared, "native-user")
    assert (await account.get("/promptd/v1/prompts")).status == 403
    grant = {"permits": [{"appHost": HOST, "permission": "prompt-svc:prompt:view", "slugs": ["native-user"]}]}
    done(await shared.admin.call("PUT", "/user-svc/permits", grant))
    assert (await account.get("/promptd/v1/prompts")).status == 200
    done(await account.call("DELETE", "/user-svc/tokens"))
    assert (await account.get("/promptd/v1/prompts")).status == 401
