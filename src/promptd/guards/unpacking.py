"""What a text says when its disguise is taken off: spelling tricks are undone, encodings are decoded, also in each other.

Every step is linear in the text, and what comes out is bounded in number, size and depth.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import re2

#: How often what was decoded is decoded again
DEPTH: Final = 3

#: How many encoded pieces of a text are looked at, and how many characters of what they say beyond the text's own length
PIECES: Final = 64
DECODED: Final = 131_072

_LETTERS: Final = 0.8  #: share of letters and blanks from which decoded bytes count as text
_SHORTEST: Final = 8


class Unpacked(NamedTuple):
    """`plain`: the text in ordinary letters. `hidden`: what encoded parts of it say. `tricks`: how the text was disguised."""

    plain: str
    hidden: tuple[str, ...] = ()
    tricks: frozenset[str] = frozenset()


def unpack(text: str) -> Unpacked:
    """Look below the surface of a text."""
    if not text.isascii():
        plain, tricks = _plain(text)
    else:
        plain, tricks = text, set()
    hints = _HINTS.Match(plain.encode("utf-8", "replace"))
    if not hints and not tricks:
        return Unpacked(plain)
    hidden: list[str] = []
    left = DECODED + len(plain)
    front = [plain]
    if tagged := _tags(text):
        tricks.add("invisible")
        front.append(tagged)
        hidden.append(tagged)
    for _ in range(DEPTH):
        found: list[str] = []
        for one in front:
            for name, said in _readings(one):
                if left <= 0 or len(hidden) + len(found) >= PIECES:
                    break
                tricks.add(name)
                found.append(said[:left])
                left -= len(said)
        hidden += found
        front = found
    return Unpacked(plain, tuple(hidden), frozenset(tricks))


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """What parts of the text say in another reading, with the name of the trick."""
    data = text.encode("utf-8", "replace")
    for at in sorted(_HINTS.Match(data) or ()):
        name, read = _READERS[at]
        for said in read(text):
            yield name, said


def _pattern(pattern: str) -> Any:
    return re2.compile(pattern)


_RUN64: Final = _pattern(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = _pattern(r"(?:\b|\\x)(?:(?:0x|\\x)?[0-9a-fA-F]{2}[ :,-]?){8,}")
_BITS: Final = _pattern(r"(?:[01]{8}[ ,]?){4,}")
_SPACED: Final = _pattern(r"\b(?:[A-Za-z0-9@$][ ._*|/+~-]{1,2}){5,}[A-Za-z0-9@$]\b")
_MORSE: Final = _pattern(r"(?:[.-]{1,5}[ /]{1,3}){8,}[.-]{0,5}")
_ESCAPED: Final = r"%[0-9a-fA-F]{2}|\\[xu][0-9a-fA-F]{2}|&#?[0-9A-Za-z]{2,8};"
_LEET: Final = _pattern(
    r"[A-Za-z0-9@$!|+]*(?:[A-Za-z][01345789@$!|+]+[A-Za-z]|\b[01345@$|][A-Za-z]{2})[A-Za-z0-9@$!|+]*"
)
_TURNED: Final = (
    r"(?i)\b(?:eht|ruoy|uoy|era|lla|snoitcurtsni|noitcurtsni|suoiverp|erongi|tpmorp|metsys|wohs|laever|selur|tegrof|"
    r"woh|em|llet|ekam|drowssap|terces)\b"
)
_ROTATED: Final = (
    r"(?i)\b(?:gur|naq|lbh|lbhe|nyy|vtaber|cerivbhf|vafgehpgvbaf?|flfgrz|cebzcg|erirny|fubj|ehyrf|sbetrg|ubj|gryy|"
    r"cnffjbeq|frperg|jvgubhg)\b"
)


def _base64(text: str) -> Iterator[str]:
    for run in _some(_RUN64, text):
        body = run.rstrip("=").replace("-", "+").replace("_", "/")
        body = body[: len(body) - (len(body) % 4 == 1)]
        try:
            yield from _as_text(base64.b64decode(body + "=" * (-len(body) % 4)))
        except binascii.Error:
            continue


def _hex(text: str) -> Iterator[str]:
    for run in _some(_HEX, text):
        digits = run.replace("0x", "").replace("\\x", "").translate(_NO_SEPARATORS)
        yield from _as_text(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _bits(text: str) -> Iterator[str]:
    for run in _some(_BITS, text):
        bits = run.translate(_NO_SEPARATORS)
        yield from _as_text(int(bits, 2).to_bytes(len(bits) // 8, "big") if len(bits) <= 8 * DECODED else b"")


def _escaped(text: str) -> Iterator[str]:
    said = html.unescape(text)
    if "\\x" in said or "\\u" in said:
        said = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), said)
    if "%" in said:
        said = unquote_to_bytes(said.encode("utf-8", "replace")).decode("utf-8", "replace")
    if said != text and said.strip():
        yield _plain(said)[0]


def _spaced(text: str) -> Iterator[str]:
    """`i g n o r e  a l l`: two blanks are a gap between words; where each gap is one sign, no gap can be told."""
    said = _SPACED.sub(lambda found: _close(found[0]), text)
    if said != text:
        yield said


def _close(run: str) -> str:
    gap = next((sign for sign in "._*|/+~-" if f"{sign}" in run), " ")
    if gap == " ":
        return "".join(word.replace(" ", "") + " " for word in run.split("  ")).strip()
    return "".join(word.replace(gap, "") + " " for word in run.split(" ")).strip()


def _leet(text: str) -> Iterator[str]:
    said = _LEET.sub(lambda found: found[0].translate(_DIGITS), text)
    if any(old not in (new, "|") for old, new in zip(text, said, strict=True)):  # bars alone are tables, and choices
        yield said


def _rotated(text: str) -> Iterator[str]:
    if _several(_pattern(_ROTATED), text):
        yield codecs.decode(text, "rot13")


def _turned(text: str) -> Iterator[str]:
    if _several(_pattern(_TURNED), text):
        yield text[::-1]


def _morse(text: str) -> Iterator[str]:
    for run in _some(_MORSE, text):
        words = run.replace(" / ", "/").replace("   ", "/").split("/")
        said = " ".join("".join(_MORSE_LETTERS.get(sign, "") for sign in word.split()) for word in words)
        if len(set(said)) > 5:
            yield said


_READERS: Final[tuple[tuple[str, Callable[[str], Iterator[str]]], ...]] = (
    ("base64", _base64),
    ("hex", _hex),
    ("binary", _bits),
    ("escaped", _escaped),
    ("spaced", _spaced),
    ("leet", _leet),
    ("rot13", _rotated),
    ("reversed", _turned),
    ("morse", _morse),
)


def _hints() -> Any:
    """One look for everything that may be a disguise."""
    found = re2.Set.SearchSet()
    for pattern in (
        _RUN64.pattern,
        _HEX.pattern,
        _BITS.pattern,
        _ESCAPED,
        _SPACED.pattern,
        _LEET.pattern,
        _ROTATED,
        _TURNED,
        _MORSE.pattern,
    ):
        found.Add(pattern)
    found.Compile()
    return found


_HINTS: Final = _hints()
_ESCAPE: Final = _pattern(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})")
_NO_SEPARATORS: Final = str.maketrans("", "", " :,-")
_DIGITS: Final = str.maketrans("013457@$!|+89", "oieastasiltbg")
_MORSE_LETTERS: Final = dict(
    zip(
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
        "abcdefghijklmnopqrstuvwxyz",
        strict=True,
    )
)

#: Letters of other alphabets that look like Latin ones
_ALIKE: Final = str.maketrans(
    "абвгдеёзікмнорстухцчшьѕјһԁԛԝαβγδεζηικνορτυχωԍɡıƖ" + "АВЕЗІКМНОРСТУХЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "a6brдee3ikmhopctyxцчшbsjhdqwabydeznikvoptuxwggil" + "ABE3IKMHOPCTYXJSABEZHIKMNOPTYX",
)


def _plain(text: str) -> tuple[str, set[str]]:
    """The text in ordinary letters: no compatibility forms, accents, or signs that are not seen."""
    tricks: set[str] = set()
    text = text.encode("utf-8", "replace").decode()
    visible = _UNSEEN.sub("", text)
    if len(text) - len(visible) > 2:
        tricks.add("invisible")
    # marks go first: to sort a long run of them would take quadratic time
    bare = _MARKS.sub("", "".join(unicodedata.normalize("NFKD", piece) for piece in _pieces(_MARKS.sub("", visible))))
    if _MIXED.search(bare):
        tricks.add("lookalikes")
        bare = _MIXED.sub(lambda found: found[0].translate(_ALIKE), bare)
    return bare, tricks


#: Signs that take no room (Default_Ignorable_Code_Point) and those that steer others
_UNSEEN: Final = _pattern(
    r"[\p{Cf}\x{034F}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{3164}\x{FE00}-\x{FE0F}\x{FFA0}\x{E0100}-\x{E01EF}]"
)
_MARKS: Final = _pattern(r"\p{M}+")

_MIXED: Final = _pattern(
    r"[\p{Latin}\p{Cyrillic}\p{Greek}]*(?:\p{Latin}[\p{Cyrillic}\p{Greek}]|[\p{Cyrillic}\p{Greek}]\p{Latin})"
    r"[\p{Latin}\p{Cyrillic}\p{Greek}]*"
)


def _pieces(text: str, size: int = 16_384) -> Iterator[str]:
    """A single call for all of a large text would hold up every other thread."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _tags(text: str) -> str:
    """Letters that stand in the plane of tags: not seen, but read by models."""
    return (
        "".join(chr(ord(sign) - 0xE0000) for sign in text if 0xE0020 <= ord(sign) <= 0xE007E)
        if not text.isascii()
        else ""
    )


def _some(pattern: Any, text: str) -> Iterator[str]:
    for count, found in enumerate(pattern.finditer(text)):
        if count >= PIECES:
            return
        yield found[0]


def _several(pattern: Any, text: str) -> bool:
    """Whether two different words are there: one alone may be chance."""
    first = ""
    for found in pattern.finditer(text):
        word = found[0].lower()
        if first and word != first:
            return True
        first = word
    return False


def _as_text(data: bytes) -> Iterator[str]:
    if len(data) < _SHORTEST:
        return
    text = data.decode("utf-8", "replace")
    readable = sum(map(str.isalpha, text)) + text.count(" ")
    if readable >= _LETTERS * len(text) or (text.isprintable() and _RUN64.search(text)):
        yield text
