"""User Svc over HTTP: tokens, passwords, permits, roles, apps and users (contract section 10)."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.identity import ALL_PERMISSIONS
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.accounts import HOST, TOKEN_MEMBERS, ZERO, done, error, login, register

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
