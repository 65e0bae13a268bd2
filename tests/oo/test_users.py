"""Who the calls are made as: login, register, whoami, token, set-token, su, and the app."""

from __future__ import annotations

import pytest
import yaml

from tests.oo.support import Answer, Issuer, Recorder, Shell


def test_login_sends_what_the_wire_asks_for_and_keeps_the_token(here: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("alice"))
    done = here("login", "alice", "secret")
    assert (done.code, done.out, done.err) == (0, "", "logged in as alice on here, app unnamed\n")
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/user-svc/login")
    assert request.json == {"appHost": "unnamed", "device": "cli", "slug": "alice", "password": "secret"}
    assert "authorization" not in request.headers
    environment = here.config["environments"]["here"]
    assert environment["selectedUser"] == "alice"
    assert environment["users"] == {
        "alice": {"slug": "alice", "selectedAppHost": "unnamed", "tokensByAppHost": {"unnamed": issuer.jwt("alice")}}
    }
    assert here("token") == (0, issuer.jwt("alice") + "\n", "")


@pytest.mark.parametrize(
    ("words", "given"),
    [(["login", "alice"], "secret\n"), (["login"], "alice\nsecret\n"), (["login", "alice", "secret"], "")],
)
def test_what_is_missing_is_read_from_standard_input(
    here: Shell, server: Recorder, issuer: Issuer, words: list[str], given: str
) -> None:
    server.will_say(issuer.answer("alice"))
    assert here(*words, given=given).code == 0
    body = server.requests[0].json
    assert (body["slug"], body["password"]) == ("alice", "secret")


def test_without_input_the_missing_word_is_named(here: Shell, server: Recorder) -> None:
    assert here("login") == (1, "", "Error: slug is missing\n")
    assert here("login", "alice") == (1, "", "Error: password is missing\n")
    assert server.requests == []


def test_a_refused_login_changes_nothing(alice: Shell, server: Recorder) -> None:
    before = alice.file.read_bytes()
    server.answers.append(Answer(b'{"error": "Invalid Password"}', status=401))
    done = alice("login", "bob", "wrong")
    assert done.code == 1
    assert done.err == (
        'Error: HTTP request to /user-svc/login failed with status 401: {"error": "Invalid Password"}\n'
    )
    assert alice.file.read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token":1}', b'{"token":{}}', b'{"token":{"token":""}}', b'{"token":{"token":"a\\n"}}'],
)
def test_an_answer_without_a_token_fails(here: Shell, server: Recorder, body: bytes) -> None:
    server.answers.append(Answer(body))
    done = here("login", "alice", "secret")
    assert done.code == 1
    assert "answered with" in done.err
    assert "users" not in here.config["environments"]["here"]


@pytest.mark.parametrize(("words", "more"), [([], {}), (["--name", "Bob B."], {"name": "Bob B."})])
def test_register_logs_in(
    here: Shell, server: Recorder, issuer: Issuer, words: list[str], more: dict[str, str]
) -> None:
    server.will_say(issuer.answer("bob"))
    assert here("register", "bob", "secret", "-a", "shop.example", *words).code == 0
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/user-svc/register")
    assert request.json == {"appHost": "shop.example", "device": "cli", "slug": "bob", "password": "secret", **more}
    assert here("token").out == issuer.jwt("bob") + "\n"


def test_whoami(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say({"publicKey": issuer.public_key})
    done = alice("whoami")
    assert done.code == 0, done.err
    assert server.requests[0].target == "/user-svc/public-key"
    assert done.out == ("slug: alice\nid: usr-alice\napp: unnamed\nroles:\n- user-svc:user\ntokenHosts:\n- unnamed\n")


@pytest.mark.parametrize("flag", ["-l", "--long"])
def test_whoami_long(alice: Shell, server: Recorder, issuer: Issuer, flag: str) -> None:
    server.will_say({"publicKey": issuer.public_key})
    shown = yaml.safe_load(alice("whoami", flag).out)
    assert shown["id"] == "usr-alice"
    assert {name: shown[name] for name in ("environment", "url", "appId", "device", "issuedAt", "expiresAt")} == {
        "environment": "here",
        "url": server.url,
        "appId": "app-1",
        "device": "cli",
        "issuedAt": "2020-09-13T12:26:40Z",
        "expiresAt": "2020-09-13T12:31:40Z",
    }


def test_whoami_believes_only_the_key_of_the_server(alice: Shell, server: Recorder) -> None:
    server.will_say({"publicKey": Issuer().public_key})
    done = alice("whoami")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: the token is not signed by this server; log in again\n"


def test_whoami_refuses_changed_claims(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    head, _, signature = issuer.jwt("alice").split(".")
    _, admin, _ = issuer.jwt("admin").split(".")
    alice("set-token", f"{head}.{admin}.{signature}")
    server.will_say({"publicKey": issuer.public_key})
    assert alice("whoami").err == "Error: the token is not signed by this server; log in again\n"


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_whoami_takes_no_other_algorithm(alice: Shell, server: Recorder, issuer: Issuer, alg: str) -> None:
    alice("set-token", issuer.jwt("alice", alg=alg))
    server.will_say({"publicKey": issuer.public_key})
    assert alice("whoami").err == f"Error: the token is signed with {alg}; expected RS256\n"


@pytest.mark.parametrize("said", [{}, {"publicKey": None}, {"publicKey": "nonsense"}])
def test_whoami_needs_a_key(alice: Shell, server: Recorder, said: dict[str, object]) -> None:
    server.will_say(said)
    assert alice("whoami") == (1, "", "Error: the server's public key can't be read\n")


@pytest.mark.parametrize("command", ["whoami", "token"])
def test_nobody_is_logged_in(here: Shell, command: str) -> None:
    assert here(command) == (1, "", "Error: nobody is logged in on here; see `oo login`\n")


@pytest.mark.parametrize("words", [True, False])
def test_set_token(here: Shell, server: Recorder, issuer: Issuer, words: bool) -> None:
    jwt = issuer.jwt("carol")
    done = here("set-token", jwt) if words else here("set-token", given=f"{jwt}\n")
    assert done.code == 0
    assert server.requests == []
    assert here("token").out == jwt + "\n"
    assert here.config["environments"]["here"]["selectedUser"] == "carol"


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "e30.bnVsbA.x", "é.é.é", "e30.W10.x", " "])
def test_what_is_no_jwt_is_refused(alice: Shell, token: str) -> None:
    before = alice.file.read_bytes()
    done = alice("set-token", token)
    assert done.code == 1
    assert done.err == "Error: the token is not a JWT; expected three parts with dots between them\n"
    assert alice.file.read_bytes() == before


def test_a_token_must_name_its_user(alice: Shell) -> None:
    assert alice("set-token", "e30.e30.x").err == "Error: the token names no user: its claim 1sl is missing\n"


def test_su_goes_back_to_a_user_who_logged_in_before(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("bob"))
    alice("login", "bob", "secret")
    assert alice("token").out == issuer.jwt("bob") + "\n"
    assert alice("su", "alice") == (0, "", "")
    assert alice("token").out == issuer.jwt("alice") + "\n"
    done = alice("su", "mallory")
    assert (done.code, done.err) == (1, "Error: mallory is not logged in on here; there is alice, bob\n")
    assert alice("token").out == issuer.jwt("alice") + "\n"


def test_another_app_exchanges_the_token_once(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("alice", app_id="app-2"))
    shop = issuer.jwt("alice", app_id="app-2")
    assert alice("token", "--app-host", "shop.example").out == shop + "\n"
    (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/user-svc/token/exchange")
    assert request.json == {"newAppHost": "shop.example", "newDevice": "cli"}
    assert request.headers["authorization"] == f"Bearer {issuer.jwt('alice')}"
    assert alice("-a", "shop.example", "post", "/x").code == 0
    assert [each.target for each in server.requests] == ["/user-svc/token/exchange", "/x"]
    assert server.requests[1].headers["authorization"] == f"Bearer {shop}"
    assert alice("token").out == issuer.jwt("alice") + "\n", "the flag is for one command"
    alice("su", "alice", "-a", "shop.example")
    assert alice("token").out == shop + "\n"


def test_a_refused_exchange_fails_the_call(alice: Shell, server: Recorder) -> None:
    server.answers.append(Answer(b'{"error": "Unauthorized"}', status=401))
    done = alice("-a", "shop.example", "post", "/x")
    assert done.code == 1
    assert "/user-svc/token/exchange failed with status 401" in done.err
    assert len(server.requests) == 1


def test_the_next_login_stays_in_the_app_of_that_user(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    server.will_say(issuer.answer("alice"), issuer.answer("alice"))
    alice("login", "alice", "secret", "-a", "shop.example")
    alice("login", "alice", "secret")
    server.will_say(issuer.answer("bob"))
    alice("login", "bob", "secret")
    assert [request.json["appHost"] for request in server.requests] == ["shop.example", "shop.example", "unnamed"]


def test_each_environment_has_its_own_users(alice: Shell, server: Recorder, issuer: Issuer) -> None:
    alice("env", "add", "other", server.url)
    assert alice("token").code == 1
    assert alice("token", "-e", "here").out == issuer.jwt("alice") + "\n"
    server.will_say(issuer.answer("dave"))
    assert alice("login", "dave", "secret", "-e", "here").code == 0
    assert alice("token", "-e", "here").out == issuer.jwt("dave") + "\n"
    assert alice("env", "current").out == "other\n"
