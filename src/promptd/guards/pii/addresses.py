"""Addresses of e-mail and of the internet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

import re2

from promptd.guards.detecting import Finding
from promptd.guards.pii.standing import is_announced, stands_alone

_EMAIL: Final = re2.compile(
    r"(?i)[a-z0-9!#$%&*+/=?^_{|}~'.-]{1,64}(?:@| ?[\[(] ?(?:at|@) ?[\])] ?)"
    r"(?:[a-z0-9][a-z0-9-]*(?:\.| ?[\[(] ?(?:dot|punkt|\.) ?[\])] ?))+[a-z][a-z0-9-]{1,23}"
)
_LONGEST_EMAIL: Final = 254
#: `icon@2x.png` is a file
_FILES: Final = (
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "js",
    "mjs",
    "ts",
    "css",
    "json",
    "html",
    "py",
    "md",
    "zip",
    "gz",
)

_IPV4: Final = re2.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6: Final = re2.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:%[0-9A-Za-z]{1,16})?")
_HEX_GROUP: Final = re2.compile(r":[0-9A-Fa-f:]")
_VERSION: Final = re2.compile(
    r"(?i)(?:\b(?:v|ver|version|release|rev|build|section|chapter|oid|abschnitt|kapitel)[ .:=]*|[<>=~^] ?)$"
)


def find_emails(text: str) -> Iterator[Finding]:
    """Also as `name (at) example (dot) org`."""
    for found in _EMAIL.finditer(text):
        start, end = found.span()
        value = text[start:end]
        # signs that are rather of the sentence, or of the line, than of the address
        start += len(value) - len(value.lstrip("!#$%&*+/=?^{|}~'.-"))
        local = text[start:end].partition("@")[0]
        if not local or start == end or end - start > _LONGEST_EMAIL or ".." in text[start:end]:
            continue
        if text[start:end].rpartition(".")[2].lower() in _FILES or _is_of_url(text, start, local, end):
            continue
        if "@" in text[start:end] or _is_spelled_out(text[start:end]):
            yield Finding("email", start, end)


def _is_of_url(text: str, start: int, local: str, end: int) -> bool:
    """`git@host:path`, and the password in `scheme://user:password@host`."""
    if local == "git" and text[end : end + 1] in (":", "/"):
        return True
    before = text[max(0, start - 100) : start]
    scheme = before.rfind("://")
    return scheme >= 0 and not any(sign in " /\n\t\"'" for sign in before[scheme + 3 :])


def _is_spelled_out(value: str) -> bool:
    """`see (at) the end.of` is a sentence: an address that is spelled out spells its dot, or has one in a short name."""
    name, _, host = value.replace("[", "(").replace("]", ")").partition("(")
    return bool(name.strip()) and ("(" in host.partition(")")[2] or "." in host)


def find_ips(text: str) -> Iterator[Finding]:
    """Addresses of machines; not those that every machine has, and no versions."""
    for found in _IPV4.finditer(text):
        start, end = found.span()
        if (
            stands_alone(text, start, end)
            and _is_of_machine(text[start:end])
            and not is_announced(text, start, _VERSION)
        ):
            yield Finding("ip", start, end)
    for found in _IPV6.finditer(text):
        start, end = found.span()
        if text[end - 1] == ":" and text[end - 2] != ":":  # of the sentence
            end -= 1
        groups = [group for group in text[start:end].partition("%")[0].split(":") if group]
        whole = text[start - 1 : start] not in (":", ".") and not _HEX_GROUP.match(text[end : end + 2])
        # `a::b` is a name of a program
        if len(groups) < 3 or not any(sign.isdigit() for sign in text[start:end]) or not whole:
            continue
        if stands_alone(text, start, end) and _is_of_machine(text[start:end]):
            yield Finding("ip", start, end)


def _is_of_machine(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        return False
    return address.version == 6 or (int(address) < 0xF0000000 and int(address) > 0x00FFFFFF)
