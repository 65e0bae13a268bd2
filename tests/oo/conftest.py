from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oo.support import Issuer, Recorder, Shell, recorder


@pytest.fixture
def server() -> Iterator[Recorder]:
    with recorder() as server:
        yield server


@pytest.fixture
def oo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`oo` of somebody who never used it."""
    return Shell(tmp_path, monkeypatch)


@pytest.fixture
def here(oo: Shell, server: Recorder) -> Shell:
    """`oo` with the server as its selected environment, and nobody logged in."""
    assert oo("env", "add", "here", server.url).code == 0
    return oo


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def alice(here: Shell, server: Recorder, issuer: Issuer) -> Shell:
    """`oo` of alice, logged in; the server has forgotten her request."""
    server.will_say(issuer.answer("alice"))
    assert here("login", "alice", "secret").code == 0
    server.requests.clear()
    return here
