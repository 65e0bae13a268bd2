"""The configuration file and `oo env`."""

from __future__ import annotations

import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from promptd.oo.config import changing
from tests.oo.support import Issuer, Recorder, Shell


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_is_made_on_first_use(oo: Shell) -> None:
    assert oo("env", "current") == (0, "local\n", "")
    assert oo.config == {
        "selectedEnvironment": "local",
        "environments": {"local": {"url": "http://127.0.0.1:11337", "shortName": "local", "description": ""}},
    }
    assert mode(oo.file) == 0o600
    assert mode(oo.file.parent) == 0o700


def test_help_makes_no_file(oo: Shell) -> None:
    assert oo("--help").code == 0
    assert oo("env").code == 0
    assert not oo.file.exists()


def test_a_new_environment_is_selected(oo: Shell) -> None:
    assert oo("env", "add", "prod", "https://prod.example", "the real one").code == 0
    assert oo("env", "current").out == "prod\n"
    assert oo.config["environments"]["prod"] == {
        "url": "https://prod.example",
        "shortName": "prod",
        "description": "the real one",
    }


def test_a_known_environment_gets_the_new_address_and_keeps_the_rest(alice: Shell, server: Recorder) -> None:
    alice("env", "add", "other", "http://127.0.0.1:1")
    users = alice.config["environments"]["here"]["users"]
    assert alice("env", "add", "here", f"{server.url}/v2").code == 0
    assert alice("env", "current").out == "other\n"
    assert alice.config["environments"]["here"]["url"] == f"{server.url}/v2"
    assert alice.config["environments"]["here"]["users"] == users


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:11337", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://[::1"),
        *("http://user:pass@x", "http://x?q=1", "http://x#f"),
    ],
)
def test_a_wrong_address_is_refused(oo: Shell, url: str) -> None:
    done = oo("env", "add", "bad", url)
    assert done.code == 1
    assert done.err.startswith(f"Error: {url}: ")
    assert not oo.file.exists()


def test_select(oo: Shell) -> None:
    oo("env", "add", "prod", "https://prod.example")
    assert oo("env", "select", "local") == (0, "", "")
    assert oo("env", "current").out == "local\n"
    done = oo("env", "select", "nowhere")
    assert (done.code, done.err) == (1, "Error: no environment is called nowhere; there is local, prod\n")
    assert oo("env", "current").out == "local\n"


@pytest.mark.parametrize("word", ["list", "ls"])
def test_list_says_what_is_reachable(oo: Shell, server: Recorder, word: str) -> None:
    oo("env", "add", "local", "http://127.0.0.1:1")
    oo("env", "add", "up", server.url, "a server")
    done = oo("env", word)
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head.split("   ")[0] == "ENV NAME"
    places = [head.index(name) for name in ("ENV NAME", "SELECTED", "URL", "DESCRIPTION", "REACHABLE")]
    cells = [[row[start:end].strip() for start, end in zip(places, [*places[1:], None], strict=True)] for row in rows]
    assert cells == [
        ["local", "no", "http://127.0.0.1:1", "", "no"],
        ["up", "yes", server.url, "a server", "yes"],
    ]


def test_remove_forgets_tokens_and_selects_another(alice: Shell, issuer: Issuer) -> None:
    assert issuer.jwt("alice") in alice.file.read_text()
    done = alice("env", "remove", "here")
    assert (done.code, done.err) == (0, "local is selected now\n")
    assert issuer.jwt("alice") not in alice.file.read_text()
    assert alice("env", "current").out == "local\n"
    assert alice("env", "remove", "here").code == 1


def test_removing_the_last_one_leaves_none(oo: Shell) -> None:
    assert oo("env", "remove", "local").err == "no environment is selected now\n"
    done = oo("get", "/x")
    assert (done.code, done.err) == (
        1,
        "Error: no environment is selected; see `oo env add` and `oo env select`\n",
    )
    assert oo("env", "list").out.split() == ["ENV", "NAME", "SELECTED", "URL", "DESCRIPTION", "REACHABLE"]


@pytest.mark.parametrize("words", [["-e", "nowhere", "token"], ["token", "-e", "nowhere"], ["token", "--env=nowhere"]])
def test_an_unknown_environment_is_named(oo: Shell, words: list[str]) -> None:
    done = oo(*words)
    assert (done.code, done.err) == (1, "Error: no environment is called nowhere; there is local\n")


def test_members_of_other_programs_are_kept(oo: Shell) -> None:
    oo.write("theirs: [1, 2]\nselectedEnvironment: a\nenvironments: {a: {url: 'http://x', colour: red}}\n")
    assert oo("env", "add", "b", "http://y").code == 0
    assert oo.config["theirs"] == [1, 2]
    assert oo.config["environments"]["a"] == {"url": "http://x", "colour": "red"}


def test_a_file_open_to_others_is_closed(oo: Shell) -> None:
    oo("env", "current")
    oo.file.chmod(0o644)
    oo("env", "current")
    assert mode(oo.file) == 0o600


def test_a_linked_file_stays_a_link(oo: Shell, tmp_path: Path) -> None:
    oo("env", "current")
    target = oo.file.rename(tmp_path / "elsewhere.yaml")
    oo.file.symlink_to(target)
    oo("env", "add", "b", "http://y")
    assert oo.file.is_symlink()
    assert "http://y" in target.read_text()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "cliConfig.yaml is not YAML: "),
        ("\x00", "cliConfig.yaml is not YAML: "),
        ("", "cliConfig.yaml: expected a mapping"),
        ("[]", "cliConfig.yaml: expected a mapping"),
        ("selectedEnvironment: [a]", "cliConfig.yaml: selectedEnvironment: expected a text"),
        ("{selectedEnvironment: a, environments: []}", "cliConfig.yaml: environments: expected a mapping of names"),
        ("{selectedEnvironment: a, environments: {1: {}}}", "cliConfig.yaml: environments: expected a mapping"),
        ("{selectedEnvironment: a, environments: {a: 1}}", "cliConfig.yaml: environments.a: expected a mapping"),
        ("{selectedEnvironment: a, environments: {a: {}}}", "cliConfig.yaml: environments.a.url: expected an address"),
        (
            "{selectedEnvironment: a, environments: {a: {url: 'http://127.0.0.1:1', selectedUser: 7}}}",
            "cliConfig.yaml: environments.a.selectedUser: expected a text",
        ),
        (
            "{selectedEnvironment: a, environments: {a: {url: 'http://127.0.0.1:1', selectedUser: u, users: {u: []}}}}",
            "cliConfig.yaml: environments.a.users.u: expected a mapping",
        ),
        (
            "{selectedEnvironment: a, environments: {a: {url: 'http://127.0.0.1:1', selectedUser: u, "
            'users: {u: {tokensByAppHost: {unnamed: "a\\nb"}}}}}}',
            "cliConfig.yaml: environments.a.users.u.tokensByAppHost.unnamed: expected a token",
        ),
    ],
    ids=lambda each: each[:40],
)
def test_a_wrong_file_is_named_and_left_alone(oo: Shell, text: str, named: str) -> None:
    oo.write(text)
    done = oo("get", "/x")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: {named}")
    assert oo.file.read_text() == text


def test_a_folder_that_cannot_be_used_is_named(oo: Shell, tmp_path: Path) -> None:
    (tmp_path / ".1backend").write_text("a file")
    done = oo("env", "current")
    assert done.code == 1
    assert ".1backend" in done.err


def test_a_change_that_fails_leaves_the_file_and_nothing_else(oo: Shell) -> None:
    oo("env", "current")
    before = oo.file.read_bytes()
    with suppress(ZeroDivisionError), changing(oo.file) as config:
        config.add("half", "http://x", "")
        raise ZeroDivisionError
    assert oo.file.read_bytes() == before
    assert list(oo.file.parent.iterdir()) == [oo.file]


def test_changes_at_one_time_are_all_kept(oo: Shell) -> None:
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        with changing(oo.file) as config:
            config.add(f"e{number}", "http://x", "")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(oo.config["environments"]) == {"local", *(f"e{number}" for number in range(8))}
