"""Batches: a file of requests that runs as many prompts of low priority, and how far it has come. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from promptd.core.errors import Conflict, InvalidRequest
from promptd.core.model import Usage
from promptd.core.policy import Counted

MOST_LINES: Final = 50_000
MOST_ERRORS: Final = 100  # that a batch which can't begin tells of
_MOST_LABELS, _LABEL_NAME, _LABEL_VALUE = 16, 64, 512
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_UNITS: Final = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST: Final = 30 * 86_400.0


class BatchStatus(StrEnum):
    """Where a batch stands."""

    VALIDATING = "validating"  #: its file is being read
    FAILED = "failed"  #: final: its file can't be used
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"  #: what runs is being stopped
    FINALIZING = "finalizing"  #: its files are being stored
    COMPLETED = "completed"  #: final, with or without lines that failed
    EXPIRED = "expired"  #: final: what was not done in time never will be
    CANCELLED = "cancelled"  #: final

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL: Final = frozenset({BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})
_MOVES: Final[dict[BatchStatus, frozenset[BatchStatus]]] = {
    BatchStatus.VALIDATING: frozenset({BatchStatus.FAILED, BatchStatus.IN_PROGRESS, BatchStatus.CANCELLING})
    | {BatchStatus.FINALIZING},
    BatchStatus.IN_PROGRESS: frozenset({BatchStatus.CANCELLING, BatchStatus.FINALIZING, BatchStatus.FAILED}),
    BatchStatus.CANCELLING: frozenset({BatchStatus.FINALIZING, BatchStatus.FAILED}),
    BatchStatus.FINALIZING: _FINAL,
}


class BatchError(Struct, frozen=True):
    """Why a batch can't begin; `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """A file of requests to one endpoint. What of it is done is known by line, so that none is done twice or left out."""

    id: str
    user: str
    key: str
    endpoint: str  #: the path that every line names
    input_file: str
    window: str  #: as its caller wrote it
    counted: Counted = ()  #: headers that limits look at, each with its subject: its lines count like the request
    created: float
    expires: float  #: what is not done by then is not done
    status: BatchStatus = BatchStatus.VALIDATING
    times: dict[str, float] = field(default_factory=dict)  #: when it came to each status
    ending: BatchStatus | None = None  #: the status behind `finalizing`
    metadata: dict[str, str] = field(default_factory=dict)
    keep_seconds: int | None = None  #: how long its files stay; None: until they are deleted
    errors: tuple[BatchError, ...] = ()
    model: str = ""  #: of its first line
    total: int = 0  #: lines
    completed: int = 0
    failed: int = 0
    usage: Usage = Usage()
    done: bytes = b""  #: one bit per line; empty once the batch is final
    output_bytes: int = 0  #: of the file under way that are safe on disk …
    error_bytes: int = 0  #: … and of the one with what failed
    output_file: str = ""  #: ids of uploads
    error_file: str = ""
    version: int = 0


def moved(batch: Batch, status: BatchStatus, now: float) -> Batch:
    """The batch at `status`. Raises `Conflict` where it can't come there from where it is."""
    if status not in _MOVES.get(batch.status, frozenset()):
        raise Conflict(f"a batch that is {batch.status} can't become {status}")
    done = b"" if status.final else batch.done
    return replace(batch, status=status, times=batch.times | {status.value: now}, done=done)


def seconds_of(window: str) -> float:
    """The length of a completion window such as `24h`. Raises `InvalidRequest`."""
    match = _WINDOW.fullmatch(window)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds <= _LONGEST:
        raise InvalidRequest(field="completion_window", expected="a time of at most 30 days, such as 24h")
    return seconds


def check_metadata(metadata: dict[str, str]) -> None:
    """Raises `InvalidRequest`."""
    if len(metadata) > _MOST_LABELS:
        raise InvalidRequest(field="metadata", expected=f"at most {_MOST_LABELS} pairs")
    for name, value in metadata.items():
        if not 1 <= len(name) <= _LABEL_NAME:
            raise InvalidRequest(field="metadata", expected=f"names of 1 to {_LABEL_NAME} characters")
        if len(value) > _LABEL_VALUE:
            raise InvalidRequest(field=f"metadata.{name}", expected=f"at most {_LABEL_VALUE} characters")


class Lines:
    """Which lines are done."""

    __slots__ = ("_bits", "count")

    def __init__(self, bits: bytes, count: int) -> None:
        """`bits` as `dump` gave them; what they lack is not done."""
        size = (count + 7) // 8
        self._bits = bytearray(bits[:size].ljust(size, b"\0"))
        self.count = count

    def __contains__(self, line: int) -> bool:
        return bool(self._bits[line >> 3] & 1 << (line & 7))

    def add(self, line: int) -> None:
        self._bits[line >> 3] |= 1 << (line & 7)

    def dump(self) -> bytes:
        return bytes(self._bits)


class Cutter:
    """Cuts the pieces of a file into its lines, blank ones left out. Lines are numbered from 1, blank ones counted."""

    def __init__(self, most: int) -> None:
        """Raises `Overlong` for a line of more than `most` bytes."""
        self._most = most
        self._rest = b""
        self._number = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that are whole now."""
        *whole, self._rest = (self._rest + piece).split(b"\n") if b"\n" in piece else [self._rest + piece]
        yield from self._numbered(whole)
        if len(self._rest) > self._most:
            raise Overlong(self._number + 1)

    def end(self) -> Iterator[tuple[int, bytes]]:
        """The last line, where no line end is behind it."""
        last, self._rest = self._rest, b""
        yield from self._numbered([last])

    def _numbered(self, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        for line in lines:
            self._number += 1
            if len(line) > self._most:
                raise Overlong(self._number)
            if self._number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield self._number, line


class Overlong(Exception):
    """A line is longer than a request may be."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line
