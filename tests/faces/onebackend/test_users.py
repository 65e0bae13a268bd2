"""User Svc over HTTP: logging in, oneself, and the door, as strict and as careless clients use it (contract section 10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt
import pytest

from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.accounts import HOST, TOKEN_MEMBERS, ZERO, done, error, login, register

pytestmark = pytest.mark.asyncio(loop_scope="module")


TAMPERED = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyIxdWkiOiJhZG1pbiJ9.AAAA"


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


@pytest.mark.slow
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
