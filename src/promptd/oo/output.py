"""What `oo` prints: answers, tables and the line about an error."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Final

from promptd.oo.failure import Failed

#: Control characters could move the cursor or type into the terminal. Texts come from models and from other users.
_CONTROL: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\ufffd") | {0x09: "\t", 0x0A: "\n", 0x0D: "\r"}


def complain(message: str) -> None:
    """`Error: MESSAGE` on standard error."""
    shown = message.translate(_CONTROL) if sys.stderr.isatty() else message
    sys.stderr.write(f"Error: {shown}\n")


def note(message: str) -> None:
    """A line for people; standard output stays free for what programs read."""
    sys.stderr.write(message.translate(_CONTROL) + "\n")


def print_json(raw: bytes) -> None:
    """An answer, indented by two spaces and otherwise as it was sent. What is not JSON prints as an empty line."""
    import msgspec

    try:
        text = msgspec.json.format(raw, indent=2)
    except msgspec.DecodeError:
        text = b""
    except RecursionError:
        raise Failed("the answer is nested too deeply to be printed") from None
    print_stream([text + b"\n"])


def print_stream(packets: Iterable[bytes]) -> None:
    """Bytes to standard output, each packet at once."""
    sys.stdout.flush()
    for packet in _harmless(packets) if sys.stdout.isatty() else packets:
        sys.stdout.buffer.write(packet)
        sys.stdout.buffer.flush()


def _harmless(packets: Iterable[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for packet in packets:
        yield decoder.decode(packet).translate(_CONTROL).encode()


def print_yaml(value: Any) -> None:
    import yaml

    _print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), sys.stdout)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns of aligned text, their names first."""
    lines = [tuple(columns), *(tuple(" ".join(cell.split()) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        _print("   ".join(cells).rstrip() + "\n", sys.stdout)


def _print(text: str, stream: IO[str]) -> None:
    stream.write(text.translate(_CONTROL) if stream.isatty() else text)
