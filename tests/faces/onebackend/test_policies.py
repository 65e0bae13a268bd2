"""Policy Svc (contract section 9): rules set at run time, asked about and enforced on both wires."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.faces.onebackend.policies import duration
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.clients import HOST, PROMPTS, done, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST, NATIVE = "/prompt-svc/prompts", "/promptd/v1/prompts"


def rate(most: Any, window: str = "1h", **more: Any) -> dict[str, Any]:
    return {"maxRequests": most, "timeWindow": window, "entity": "userId", "scope": "endpoint"} | more


async def put(server: Server, name: str, endpoint: str, limit: Any = None, blocked: Any = None) -> None:
    kind = "rate-limit" if blocked is None else "blocklist"
    parameters = {"rateLimit": limit} if blocked is None else {"blocklist": {"blockedIPs": blocked}}
    body = {"instance": {"id": "ignored", "endpoint": endpoint, "templateId": kind, "parameters": parameters}}
    assert done(await server.admin.call("PUT", f"/policy-svc/instance/{name}", body)) == {}


async def allowed(http: Any, endpoint: str, user: str = "", ip: str = "", method: str = "GET") -> bool:
    body = {"endpoint": endpoint, "method": method, "ip": ip, "userId": user}
    answer = done(await http.post("/policy-svc/check", body))
    assert set(answer) == {"allowed"}
    return bool(answer["allowed"])


# ------------------------------------------------------------------ durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("24h", 86400),
        ("1d", 86400),
        ("7d", 604800),
        ("1w", 604800),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("1d12h", 129600),
        ("0s", 0),
    ],
)
async def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "5M", "1h-30m", "five", "5m ", "\u0665m", "1" * 65 + "s", "1" * 10_000_000]
)
async def test_what_is_no_duration(text: str) -> None:
    assert duration(text) is None


@given(st.text(alphabet="0123456789.smhdw-", max_size=80))
async def test_any_text_is_a_duration_or_none(text: str) -> None:
    found = duration(text)
    assert found is None or found >= 0


# ------------------------------------------------------------------ asked about


async def test_a_limit_allows_so_many_a_window_for_each_user(shared: Server) -> None:
    await put(shared, "r-users", "/asked/users", rate(3))
    assert [await allowed(shared.admin, "/asked/users", "u1") for _ in range(5)] == [True] * 3 + [False] * 2
    assert await allowed(shared.admin, "/asked/users", "u2")
    assert await allowed(shared.admin, "/asked/other", "u1"), "the rule names another endpoint"
    assert await allowed(shared.admin, "/asked/users"), "nobody is not limited"


async def test_a_limit_for_addresses(shared: Server) -> None:
    await put(shared, "r-ips", "/asked/ips", rate("2", entity="ip"))
    assert [await allowed(shared.admin, "/asked/ips", "u", "10.1.1.1") for _ in range(3)] == [True, True, False]
    assert await allowed(shared.admin, "/asked/ips", "u", "10.1.1.2")


async def test_scopes_and_patterns(shared: Server) -> None:
    await put(shared, "r-global", "/glob/*", rate(2, scope="global"))
    assert [await allowed(shared.admin, f"/glob/{n}", "g") for n in range(3)] == [True, True, False]
    await put(shared, "r-each", "/each/*/x", rate(1))
    assert [await allowed(shared.admin, f"/each/{n}/x", "e") for n in (1, 2, 1)] == [True, True, False]
    assert await allowed(shared.admin, "/each/1/y", "e")


async def test_a_second_put_changes_the_rule(shared: Server) -> None:
    await put(shared, "r-change", "/asked/change", rate(1))
    assert [await allowed(shared.admin, "/asked/change", "c") for _ in range(2)] == [True, False]
    await put(shared, "r-change", "/asked/change", rate(10))
    assert await allowed(shared.admin, "/asked/change", "c")
    await put(shared, "r-change", "/asked/change", blocked=["10.0.0.0/8"])
    assert await allowed(shared.admin, "/asked/change", "c", "11.0.0.1")
    assert not await allowed(shared.admin, "/asked/change", "c", "10.2.3.4")


async def test_any_rule_that_denies_denies_and_then_none_is_charged(shared: Server) -> None:
    await put(shared, "r-two-a", "/asked/two", rate(1))
    await put(shared, "r-two-b", "/asked/two", rate(2, entity="ip"))
    assert await allowed(shared.admin, "/asked/two", "a", "10.9.9.9")
    assert not await allowed(shared.admin, "/asked/two", "a", "10.9.9.9")
    assert await allowed(shared.admin, "/asked/two", "b", "10.9.9.9"), "the denied access took no turn of the address"
    assert not await allowed(shared.admin, "/asked/two", "c", "10.9.9.9")


async def test_a_blocklist_as_the_command_line_sends_it(shared: Server) -> None:
    await put(shared, "r-block", "/asked/block", blocked='["10.0.0.1", "192.168.0.0/16", "2001:db8::/32"]')
    for address in ("10.0.0.1", "192.168.7.8", "2001:db8::1", "::ffff:10.0.0.1"):
        assert not await allowed(shared.admin, "/asked/block", "u", address), address
    for address in ("10.0.0.2", "", "rubbish", "2001:db9::1"):
        assert await allowed(shared.admin, "/asked/block", "u", address), address


async def test_telling_of_others_does_not_use_up_their_turns(shared: Server) -> None:
    ann, eve = await register(shared, "told-ann"), await register(shared, "told-eve")
    await put(shared, "r-told", "/asked/told", rate(2))
    for _ in range(5):
        await allowed(eve, "/asked/told", ann.user)
    assert not await allowed(eve, "/asked/told", ann.user), "what was told is counted by itself"
    assert [await allowed(ann, "/asked/told", ann.user) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("instance", "named"),
    [
        ({}, "templateId"),
        ({"templateId": "other"}, "templateId"),
        ({"templateId": "rate-limit"}, "rateLimit"),
        ({"templateId": "blocklist", "parameters": {}}, "blocklist"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(0)}}, "maxRequests"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate("many")}}, "maxRequests"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(5, "soon")}}, "timeWindow"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(5, "0s")}}, "timeWindow"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(5, "9" * 400 + "d")}}, "timeWindow"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(5, entity="team")}}, "entity"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(5, scope="some")}}, "scope"),
        ({"templateId": "rate-limit", "parameters": {"rateLimit": rate(2**40)}}, "rateLimit"),
        ({"templateId": "blocklist", "parameters": {"blocklist": {"blockedIPs": ["nowhere"]}}}, "blockedIPs[0]"),
        ({"templateId": "blocklist", "parameters": {"blocklist": {"blockedIPs": [None]}}}, "blockedIPs[0]"),
        ({"templateId": "blocklist", "parameters": {"blocklist": {"blockedIPs": ["1.2.3.4", None]}}}, "blockedIPs[1]"),
        ({"templateId": "blocklist", "parameters": {"blocklist": {"blockedIPs": "[null]"}}}, "blockedIPs[0]"),
    ],
)
async def test_a_rule_that_cannot_hold_is_refused(shared: Server, instance: Any, named: str) -> None:
    response = await shared.admin.call("PUT", "/policy-svc/instance/refused", {"instance": instance})
    assert named in error(response, 400)


# ------------------------------------------------------------------ enforced


async def test_a_limit_holds_on_its_endpoint_for_each_user(serve: Serve) -> None:
    async with serve() as server:
        ann, bob = await register(server, "ann", PROMPTS), await register(server, "bob", PROMPTS)
        await put(server, "limit", LIST, rate(2, "2h"))
        for wire in (ann, bob):
            for _ in range(2):
                await wire.ok("POST", LIST)
            refused = await wire.post(LIST)
            error(refused, 429)
            assert 3000 <= int(refused.headers["retry-after"]) <= 3600, "one of two per two hours comes back in one"
        await ann.ok("POST", "/chat-svc/threads")
        assert (await server.http.get(NATIVE)).status == 200
        assert not await allowed(ann, LIST, ann.user), "it counts with what was told"


async def test_ids_in_a_path_do_not_make_new_endpoints(serve: Serve) -> None:
    async with serve() as server:
        ann = await register(server, "ann", PROMPTS)
        await put(server, "by-pattern", "/prompt-svc/prompt/*", rate(2))
        await put(server, "by-template", "/chat-svc/message/{messageId}", rate(1))
        answers = [await ann.status("DELETE", f"/prompt-svc/prompt/{name}") for name in ("a", "b%2F", "c")]
        assert answers == [200, 200, 429]
        assert [await ann.status("GET", f"/chat-svc/message/{n}") for n in range(2)] == [200, 429]


async def test_rules_hold_on_native_endpoints_too(serve: Serve) -> None:
    async with serve() as server:
        await put(server, "native", NATIVE, rate(1))
        await put(server, "native-item", "/promptd/v1/prompts/*", rate(1))
        assert (await server.http.get(NATIVE)).status == 200
        refused = await server.http.get(NATIVE)
        assert refused.status == 429
        assert refused.json["code"] == "too_many_requests"
        assert int(refused.headers["retry-after"]) > 1000
        assert [(await server.http.get(f"{NATIVE}/{n}")).status for n in ("a", "b")] == [404, 429]


async def test_a_blocked_address_is_shut_out_but_not_from_mending_it(serve: Serve) -> None:
    async with serve() as server:
        await put(server, "everything", "", blocked="127.0.0.0/8")
        error(await server.admin.post(LIST), 403)
        assert (await server.http.get(NATIVE)).status == 403
        await put(server, "everything", "", blocked=[])
        done(await server.admin.post(LIST))


@pytest.mark.parametrize("everything", ["", "*", "/*", "**"])
async def test_a_rule_for_everything_locks_out_no_admin_and_kills_no_server(serve: Serve, everything: str) -> None:
    async with serve() as server:
        await register(server, "ann")
        await put(server, "everything", everything, blocked="127.0.0.0/8")
        nobody = server.http.of(None)
        done(await nobody.post("/user-svc/login", {"appHost": HOST, "slug": "ann", "password": "secret"}))
        assert [(await nobody.get(path)).status for path in ("/healthz", "/readyz", "/promptd/v1/docs")] == [
            200,
            200,
            403,
        ]
        await put(server, "login", "/user-svc/login", blocked="127.0.0.1")
        await put(server, "health", "/healthz*", blocked="127.0.0.1")
        error(await nobody.post("/user-svc/login", {}), 403)
        assert [(await nobody.get(path)).status for path in ("/healthz", "/readyz")] == [403, 200]
        for name in ("everything", "login", "health"):
            assert done(await server.admin.call("DELETE", f"/policy-svc/instance/{name}")) == {}
        assert done(await server.admin.call("DELETE", "/policy-svc/instance/everything")) == {}
        done(await server.admin.post(LIST))
        error(await nobody.post("/user-svc/login", {}), 400)


async def test_a_rule_that_was_taken_back_does_not_come_back(serve: Serve) -> None:
    async with serve() as server:
        await put(server, "gone", LIST, blocked="127.0.0.1")
        done(await server.admin.call("DELETE", "/policy-svc/instance/gone"))
        await put(server, "stays", NATIVE, blocked="127.0.0.1")
    async with serve() as server:
        done(await server.admin.post(LIST))
        assert (await server.admin.get(NATIVE)).status == 403


async def test_an_address_in_any_spelling_is_blocked(serve: Serve) -> None:
    async with serve() as server:
        for spelled in ("::ffff:127.0.0.1", "::FFFF:7f00:1", "::ffff:127.0.0.0/104", '["::ffff:127.0.0.1"]'):
            await put(server, "mapped", LIST, blocked=spelled)
            error(await server.admin.post(LIST), 403)
            await put(server, "mapped", LIST, blocked=[])
            done(await server.admin.post(LIST))
        await put(server, "others", LIST, blocked=["::ffff:126.0.0.0/104"])
        done(await server.admin.post(LIST))


SELF, REFRESH = "/user-svc/self", "/user-svc/refresh-token"


async def test_a_limit_for_users_holds_where_the_handler_asks_for_the_token(serve: Serve) -> None:
    async with serve() as server:
        ann, bob = await register(server, "ann", PROMPTS), await register(server, "bob", PROMPTS)
        for number, path in enumerate((SELF, REFRESH, "/user-svc/self/has/{permission}")):
            await put(server, f"limit-{number}", path, rate(2))
        for wire in (ann, bob):
            for path in (SELF, REFRESH):
                assert [await wire.status("POST", path) for _ in range(3)] == [200, 200, 429]
            asked = [await wire.status("POST", f"/user-svc/self/has/{name}") for name in "abc"]
            assert asked == [200, 200, 429]


async def test_guessing_tokens_counts_for_the_address(serve: Serve) -> None:
    async with serve() as server:
        for number, path in enumerate((LIST, NATIVE, SELF)):
            await put(server, f"limit-{number}", path, rate(3, entity="ip"))
        for secret in ("pk-guess-1", None, "rubbish"):
            await server.http.of(secret).post(LIST)
            assert (await server.http.of(secret).get(NATIVE)).status == 401
            await server.http.of(secret).post(SELF)
        error(await server.admin.post(LIST), 429)
        assert (await server.admin.get(NATIVE)).status == 429
        error(await server.admin.post(SELF), 429)


async def test_a_blocked_address_does_not_learn_whether_its_token_is_good(serve: Serve) -> None:
    async with serve() as server:
        await put(server, "shut", LIST, blocked="127.0.0.1")
        for http in (server.admin, server.http.of("rubbish"), server.http.of(None)):
            error(await http.post(LIST), 403)


async def test_rules_outlive_the_process(serve: Serve) -> None:
    async with serve() as server:
        await put(server, "kept", "", rate(1))
    async with serve() as server:
        done(await server.admin.post(LIST))
        error(await server.admin.post(LIST), 429)
