"""Names of headers in settings."""

from __future__ import annotations

import pytest

from promptd.dialects.headers import FRAMING, check_header_names


def test_names_that_can_be_set() -> None:
    check_header_names(["X-Team", "authorization", "Host"])


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 101, "Content-Length", "TE"])
def test_names_that_can_not(name: str) -> None:
    with pytest.raises(ValueError, match="can be set"):
        check_header_names(["x-fine", name])


def test_more_may_be_taken() -> None:
    with pytest.raises(ValueError, match="'Host'"):
        check_header_names(["Host"], taken=FRAMING | {"host"})
