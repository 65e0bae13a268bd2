"""Names, media types and addresses of files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import ExecutionFailed, InvalidRequest, PermissionDenied
from promptd.core.files import (
    MAX_NAME_BYTES,
    HubTag,
    checked_sha256,
    checked_url,
    choose_file,
    digest_in,
    download_id,
    joined,
    make_upload_id,
    media_type_of,
    name_in,
    safe_name,
    same_origin,
    source_of,
    validator_of,
)

HUB = "https://hub.test/"


def test_upload_ids_are_random_uuids() -> None:
    assert make_upload_id(bytes(16)) == "file-00000000-0000-4000-8000-000000000000"
    assert make_upload_id(b"\xff" * 32) == "file-ffffffff-ffff-4fff-bfff-ffffffffffff"


def test_download_ids_follow_from_the_url() -> None:
    assert download_id("http://a/b") == download_id("http://a/b") != download_id("http://a/c")
    assert re.fullmatch(r"dl_[a-z2-7]{32}", download_id("http://a/b"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a/..", "file"),
        ("...", "file"),
        ("", "file"),
        ("  \t ", "file"),
        (".bashrc", ".bashrc"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
        ("a\0b\x7fc\u2028d", "abcd"),
        ("gpj.\u202eexe.txt", "gpj.exe.txt"),
        ("\ud800a", "a"),
        ("e\u0301.txt", "é.txt"),
        ("Übung \U0001f600.md", "Übung \U0001f600.md"),
    ],
)
def test_names_lead_nowhere_else(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_keep_their_extension() -> None:
    assert safe_name("ä" * 300 + ".gguf") == "ä" * 125 + ".gguf"
    assert safe_name("x" * 300) == "x" * 255
    assert len(safe_name("a." + "b" * 300).encode()) == 255
    assert safe_name("x" * 5000 + ".gguf") == "x" * 250 + ".gguf"


@pytest.mark.timeout(5)
def test_a_name_of_nothing_but_marks_takes_no_time() -> None:
    assert len(safe_name("a" + "\u0301\u0316" * 50_000 + ".txt").encode()) <= 255


@given(st.text())
def test_every_name_is_safe(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= MAX_NAME_BYTES
    assert safe not in (".", "..")
    assert not set(safe) & set("/\\\0\n\r")
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("name", "said", "found"),
    [
        ("a.PNG", None, "image/png"),
        ("a.png", "application/octet-stream", "image/png"),
        ("a.png", "Text/Plain; charset=utf-8", "text/plain"),
        ("a.unknown", None, "application/octet-stream"),
        ("md", None, "text/markdown"),
        ("a", "", "application/octet-stream"),
    ],
)
def test_media_types(name: str, said: str | None, found: str) -> None:
    assert media_type_of(name, said) == found


@pytest.mark.parametrize("said", ["text", "text/", "/plain", "text/pl ain", "text/plain\r\nX: y", "tëxt/plain", "*/*"])
def test_what_is_no_media_type(said: str) -> None:
    with pytest.raises(InvalidRequest, match="media_type"):
        media_type_of("a.txt", said)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://host/a?b#c", "http://host/a?b"),
        ("HTTPS://host:8443", "HTTPS://host:8443"),
        ("http://[::1]:80/x@y", "http://[::1]:80/x@y"),
    ],
)
def test_urls(text: str, url: str) -> None:
    assert checked_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host/a",
        "file:///etc/passwd",
        "http://",
        "http:///a",
        "http://u@h/",
        "http://u:p@h",
        "http://h/ü",
        "http://h/a b",
        "http://h/\n",
        "http://h/" + "x" * 2048,
        "javascript://x/%0a",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_url(text)
    assert refused.value.field == "url"


def test_ids_of_the_hub() -> None:
    assert source_of("org/my.repo-1/m_Q4.gguf", HUB) == "https://hub.test/org/my.repo-1/resolve/main/m_Q4.gguf"
    assert source_of("org/repo/a/b+c.gguf", HUB) == "https://hub.test/org/repo/resolve/main/a/b+c.gguf"
    assert source_of("org/repo:Q4_K_M", HUB) == HubTag("org/repo", "Q4_K_M")
    assert source_of("http://x/org/repo:Q4", HUB) == "http://x/org/repo:Q4"
    for text in (
        "org",
        "org/repo",
        "org/repo/",
        "/org/repo/f",
        "org/../f",
        "org/repo/../f",
        "org/repo:",
        "./r:Q",
        "a/b/c?d",
    ):
        with pytest.raises(InvalidRequest, match="url"):
            source_of(text, HUB)


@pytest.mark.parametrize(
    ("tag", "file"),
    [("Q4_K_M", "m.Q4_K_M.gguf"), ("q8_0", "sub/m-q8_0.gguf"), ("f16", "m-F16.gguf")],
)
def test_a_tag_means_one_file(tag: str, file: str) -> None:
    files = ["m.Q4_K_M.gguf", "m.Q4_K_S.gguf", "sub/m-q8_0.gguf", "m-F16.gguf", "mmproj-f16.gguf", "bf16.bin"]
    assert choose_file(HubTag("org/repo", tag), files) == file


@pytest.mark.parametrize(
    "files", [[], ["m.Q4_K_S.gguf"], ["a.Q4_K.gguf", "b.Q4_K.gguf"], ["m.Q4_K-00001-of-00002.gguf"]]
)
def test_a_tag_that_means_no_file_or_several(files: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="org/repo") as refused:
        choose_file(HubTag("org/repo", "Q4_K"), files)
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://other/x#y", "https://other/x"),
        ("//other/x", "https://other/x"),
        ("/x?y", "https://host:1/x?y"),
        ("x", "https://host:1/a/x"),
    ],
)
def test_redirects(location: str, target: str) -> None:
    assert joined("https://host:1/a/b?c/d", location) == target


def test_redirects_that_lead_astray() -> None:
    assert joined("http://host", "x") == "http://host/x"
    with pytest.raises(ExecutionFailed):
        joined("https://host/a", "")
    for location in ("http://host/b", "HTTP://host/b", "file:///etc/passwd", "data:,x", "ftp://host/b"):
        with pytest.raises(PermissionDenied):
            joined("https://host/a", location)


def test_origins() -> None:
    assert same_origin("http://Host:1/a", "HTTP://host:1")
    assert not same_origin("http://host:1/a", "https://host:1/a")
    assert not same_origin("http://host.evil/", "http://host/")
    assert not same_origin("", "")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/m.gguf?download=true", "m.gguf"),
        ("http://h/a%20b%C3%A9.gguf", "a bé.gguf"),
        ("http://h/..%2f..%2Fetc%2fpasswd", "passwd"),
        ("http://h/%ff%00", "\ufffd"),
        ("http://h/", "file"),
        ("http://h", "file"),
        ("http://h?x=/y", "file"),
    ],
)
def test_the_name_in_a_url(url: str, name: str) -> None:
    assert name_in(url) == name


def test_checksums() -> None:
    assert checked_sha256("AB" * 32) == "ab" * 32
    assert checked_sha256(None) is None
    for text in ("", "ab", "g" * 64, "a" * 63, "a" * 64 + "\n"):
        with pytest.raises(InvalidRequest, match="sha256"):
            checked_sha256(text)
    assert digest_in(f'W/"{"AB" * 32}"') == "ab" * 32
    assert digest_in("ab" * 32) == "ab" * 32
    assert digest_in('"' + "ab" * 20 + '"') is None
    assert digest_in("") is None


def test_validators() -> None:
    assert validator_of('"v1"', "Sat, …") == '"v1"'
    assert validator_of('W/"v1"', "Sat, …") == "Sat, …"
    assert validator_of("", "") == ""
