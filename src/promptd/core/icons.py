"""Icons of service types: a name that the console draws, or a small picture that can do nothing."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from xml.etree import ElementTree

from msgspec import Struct

MAX_SVG_BYTES: Final = 32 * 1024
MAX_ELEMENTS: Final = 500
MAX_DEPTH: Final = 32
#: the names that the console draws
NAMES: Final = frozenset(
    {
        "chat",
        "chip",
        "cloud",
        "code",
        "document",
        "globe",
        "image",
        "microphone",
        "neutral",
        "plug",
        "search",
        "speaker",
    }
)

_SVG: Final = "{http://www.w3.org/2000/svg}"
_ELEMENTS: Final = frozenset(
    [
        "svg",
        "g",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "title",
        "desc",
        "defs",
        "linearGradient",
        "radialGradient",
        "stop",
        "clipPath",
    ]
)
_SHAPES: Final = frozenset({"path", "rect", "circle", "ellipse", "line", "polyline", "polygon"})
_ATTRIBUTES: Final = frozenset(
    [
        "id",
        "viewBox",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "y1",
        "x2",
        "y2",
        "cx",
        "cy",
        "r",
        "rx",
        "ry",
        "fx",
        "fy",
        "d",
        "points",
        "transform",
        "preserveAspectRatio",
        "opacity",
        "fill",
        "fill-opacity",
        "fill-rule",
        "clip-path",
        "clip-rule",
        "stroke",
        "stroke-width",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-opacity",
        "offset",
        "stop-color",
        "stop-opacity",
        "gradientUnits",
        "gradientTransform",
        "spreadMethod",
        "clipPathUnits",
        "color",
    ]
)
_VALUE: Final = re.compile(r"[A-Za-z0-9#%.,()\s+\-_]*")
_LOCAL: Final = re.compile(r"url\(#[A-Za-z][A-Za-z0-9_-]{0,63}\)")


class Icon(Struct, frozen=True):
    """A named icon, or `data` as the text of an SVG that was cleaned. What can't be used is the neutral icon."""

    NEUTRAL: ClassVar[Icon]

    name: str = "neutral"
    data: str = ""

    @classmethod
    def named(cls, name: str) -> Icon:
        """One of `NAMES`; any other is the neutral icon."""
        return cls(name) if name in NAMES else cls()

    @classmethod
    def svg(cls, data: bytes) -> Icon:
        """A picture of at most 32 KiB. Shapes and gradients stay; scripts, styles, links and foreign parts go."""
        text = sanitised(data)
        return cls("", text) if text else cls()


Icon.NEUTRAL = Icon()


def sanitised(data: bytes) -> str:
    """The picture without whatever is not drawing, or an empty text if it is none or has a doctype or entities."""
    if not isinstance(data, bytes) or len(data) > MAX_SVG_BYTES:
        return ""
    try:
        text = data.decode()
        # entities and external parts need a declaration, and text is read as it is, whatever encoding it claims to have
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            return ""
        root = ElementTree.fromstring(text)  # noqa: S314
    except (ElementTree.ParseError, ValueError, RecursionError):
        return ""
    if root.tag != f"{_SVG}svg" or sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        return ""
    drawing = _cleaned(root, 1)
    if drawing is None or not any(element.tag in _SHAPES for element in drawing.iter()):
        return ""
    drawing.set("xmlns", "http://www.w3.org/2000/svg")
    text = ElementTree.tostring(drawing, encoding="unicode")
    return text if len(text.encode()) <= MAX_SVG_BYTES else ""


def _cleaned(element: ElementTree.Element, depth: int) -> ElementTree.Element | None:
    """A copy of what is allowed, without namespaces, so that nothing but the list below can be in it."""
    name = element.tag.removeprefix(_SVG) if isinstance(element.tag, str) else ""
    if (
        not isinstance(element.tag, str)
        or not element.tag.startswith(_SVG)
        or name not in _ELEMENTS
        or depth > MAX_DEPTH
    ):
        return None
    clean = ElementTree.Element(name)
    for attribute, value in element.attrib.items():
        if attribute in _ATTRIBUTES and _is_plain(value):
            clean.set(attribute, value)
    if name in ("title", "desc"):
        clean.text = element.text
        return clean
    for child in element:
        kept = _cleaned(child, depth + 1)
        if kept is not None:
            clean.append(kept)
    return clean


def _is_plain(value: str) -> bool:
    if "url" in value.lower():
        return _LOCAL.fullmatch(value) is not None
    return _VALUE.fullmatch(value) is not None
