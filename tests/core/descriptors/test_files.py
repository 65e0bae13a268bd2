"""Files against their parameters: real ones, and those that only claim to be something."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from promptd.core.descriptors import Checked, Param, check_params, check_value
from promptd.core.errors import InvalidInput, InvalidOutput
from promptd.core.prompt_files import PromptFile

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
PDF = b"%PDF-1.7\n1 0 obj\n"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PARAMS = check_params(
    [
        Param("picture", "file", media_types=("image/*",), max_bytes=100),
        Param(
            "notes", "file", required=False, media_types=("text/plain", "application/pdf"), multiple=True, max_count=2
        ),
    ]
)
PICTURE = PromptFile.from_bytes("a.png", PNG)
NOTE = PromptFile.from_bytes("a.txt", b"hello")


def test_files_come_as_tuples() -> None:
    checked = check_value(PARAMS, {}, {"picture": [PICTURE], "notes": [NOTE, NOTE]})
    assert checked == Checked({}, {"picture": (PICTURE,), "notes": (NOTE, NOTE)})
    assert check_value(PARAMS, {}, {"picture": [PICTURE], "notes": []}).files == {"picture": (PICTURE,)}


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({}, "picture"),
        (None, "picture"),
        ({"picture": ()}, "picture"),
        ({"picture": [PICTURE, PICTURE]}, "picture"),
        ({"picture": PICTURE}, "picture"),
        ({"picture": [b"x"]}, "picture"),
        ({"picture": [PICTURE], "notes": [NOTE] * 3}, "notes"),
        ({"picture": [PICTURE], "other": [NOTE]}, "other"),
        ({"picture": [PromptFile.from_bytes("a.png", PNG * 2)]}, "picture"),
        ({"picture": [NOTE]}, "picture"),
        ({"picture": [PromptFile.from_bytes("a.png", b"<html>")]}, "picture"),
        ({"picture": [PromptFile.from_bytes("a.png", b"")]}, "picture"),
        ({"picture": [PromptFile.from_bytes("a.bin", PDF)]}, "picture"),
        ({"picture": [PICTURE], "notes": [NOTE, PromptFile.from_bytes("a.txt", PDF)]}, "notes[1]"),
        ({"picture": [PICTURE], "notes": [PromptFile.from_bytes("a.txt", b"a\x00b")]}, "notes"),
        ({"picture": [PromptFile("a.png", "nonsense", 1, NOTE.opener)]}, "picture"),
    ],
)
@pytest.mark.formcycle(33, 34)
def test_errors_name_the_file(files: Mapping[str, Any] | None, field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_value(PARAMS, {}, files)
    assert raised.value.field == field
    if field != "other":
        with pytest.raises(InvalidOutput) as returned:
            check_value(PARAMS, {}, files, direction="output")
        assert returned.value.field == field


def test_an_undeclared_file_of_an_output_is_left_out() -> None:
    checked = check_value(PARAMS, {}, {"picture": [PICTURE], "other": [NOTE]}, direction="output")
    assert set(checked.files) == {"picture"}
    assert checked.warnings == ("the output 'other' is not declared and was left out",)


def test_a_file_is_no_value() -> None:
    with pytest.raises(InvalidInput, match="beside the values"):
        check_value(PARAMS, {"picture": "a.png"}, {"picture": [PICTURE]})


def test_a_file_that_can_t_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    file = PromptFile.from_path(path)
    path.unlink()
    with pytest.raises(InvalidInput, match="can't be read"):
        check_value(PARAMS, {}, {"picture": [file]})


@pytest.mark.parametrize(
    ("name", "declared", "data", "known"),
    [
        ("a", "", PNG, "image/png"),
        ("a", "application/octet-stream", PDF, "application/pdf"),
        ("a", "", b"who knows", "application/octet-stream"),
        ("a.docx", "", b"PK\x03\x04rest", DOCX),
        ("a.docx", "", b"not a zip", None),
        ("a.zip", "", b"PK\x05\x06", "application/zip"),
        ("a.jpg", "", PNG, None),
        ("a.jpg", "", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a", "image/jpg", b"\xff\xd8\xff\xe0", "image/jpg"),
        ("a.svg", "", b"<svg/>", "image/svg+xml"),
        ("a.svg", "", PNG, None),
        ("a.wav", "", b"RIFF\x00\x00\x00\x00WAVEfmt", "audio/wav"),
        ("a.webp", "", b"RIFF\x00\x00\x00\x00WAVEfmt", None),
        ("a.mp3", "", bytes(8), "audio/mpeg"),
        ("a.mp3", "", b"\xff\xfb\x90\x00", "audio/mpeg"),
        ("a.mp3", "", PNG, None),
        ("a.m4a", "", b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        ("a.txt", "", "text".encode("utf-16"), "text/plain"),
        ("a.txt", "", b"about %PDF-1.7", "text/plain"),
        ("a.json", "", b"{}", "application/json"),
        ("a.json", "", b"\x7fELF", None),
        ("a", "application/x-own", b"\x1f\x8b", "application/x-own"),
        ("a", "image/x-own", b"\x1f\x8b", None),
        ("a.pdf", "", b"\n\n%PDF-1.4\n1 0 obj", "application/pdf"),
    ],
)
@pytest.mark.formcycle(34)
def test_the_bytes_have_the_last_word(name: str, declared: str, data: bytes, known: str | None) -> None:
    file = PromptFile.from_bytes(name, data, declared)
    params = [Param("file", "file")]
    if known is None:
        with pytest.raises(InvalidInput, match="what it is called"):
            check_value(params, {}, {"file": [file]})
    else:
        (checked,) = check_value(params, {}, {"file": [file]}).files["file"]
        assert checked.media_type == known
        assert checked.read() == data


def test_names_and_types_are_made_safe() -> None:
    assert PromptFile.from_bytes("../../etc/x.txt", b"").filename == "x.txt"
    assert PromptFile.from_bytes("a", b"", "Text/Plain; charset=utf-8").media_type == "text/plain"
    with pytest.raises(ValueError, match="media type"):
        PromptFile.from_bytes("a", b"", "nonsense")


@pytest.mark.formcycle(44)
def test_a_large_file_passes_unchanged_and_never_whole(tmp_path: Path) -> None:
    path, size = tmp_path / "large.bin", 64 * 1024 * 1024
    with path.open("wb") as out:
        for no in range(64):
            out.write(bytes([no]) * (1024 * 1024))
    with path.open("rb") as stream:
        before = hashlib.file_digest(stream, "sha256").hexdigest()
    tracemalloc.start()
    try:
        (file,) = check_value([Param("file", "file")], {}, {"file": [PromptFile.from_path(path)]}).files["file"]
        after = hashlib.sha256()
        for piece in file.chunks():
            after.update(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after.hexdigest(), file.size) == (before, size)
    assert peak < 2 * 1024 * 1024
