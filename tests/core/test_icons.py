"""Icons: a picture that draws and can do nothing else."""

from __future__ import annotations

import pytest

from promptd.core.icons import MAX_SVG_BYTES, Icon

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 8 8">{}</svg>'
PATH = '<path d="M0 0 L8 8" fill="#f00"/>'


def svg(inside: str) -> Icon:
    return Icon.svg(SVG.format(inside).encode())


def test_a_drawing_stays() -> None:
    gradient = '<defs><linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient></defs>'
    icon = svg(f'<title>A &lt;b&gt;</title>{gradient}<g fill="url(#g)">{PATH}</g>')
    assert 'viewBox="0 0 8 8"' in icon.data
    assert 'd="M0 0 L8 8"' in icon.data
    assert 'fill="url(#g)"' in icon.data
    assert "A &lt;b&gt;" in icon.data
    assert icon.data.count("xmlns") == 1


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<path d="M0 0" onload="alert(1)"/>',
        '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml">x</body></foreignObject>',
        '<image href="http://evil/x.png"/>',
        '<use xlink:href="http://evil/x.svg#a"/>',
        '<a href="javascript:alert(1)">' + PATH + "</a>",
        '<path fill="url(http://evil/x)"/>',
        '<path fill="URL(  #x)"/>',
        '<path style="fill:url(http://evil)"/>',
        "<style>@import 'http://evil'</style>",
        '<animate attributeName="href" values="javascript:alert(1)"/>',
        '<set attributeName="onload" to="alert(1)"/>',
        '<x:script xmlns:x="http://www.w3.org/2000/svg">alert(1)</x:script>',
        '<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
        '<?xml-stylesheet href="http://evil"?>',
    ],
)
def test_what_is_no_drawing_goes(inside: str) -> None:
    icon = svg(PATH + inside)
    assert "M0 0 L8 8" in icon.data
    for word in ("script", "alert", "evil", "href", "onload", "style", "foreign", "animate", "body", "URL("):
        assert word not in icon.data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"<svg>",
        b"<svg></svg>",
        SVG.format("").encode(),
        SVG.format("<script/>").encode(),
        b"<html xmlns='http://www.w3.org/1999/xhtml'/>",
        b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("<title>&a;</title>" + PATH).encode(),
        b'<!DOCTYPE svg SYSTEM "file:///etc/passwd">' + SVG.format(PATH).encode(),
        ('<?xml version="1.0" encoding="utf-16"?>' + SVG.format(PATH)).encode("utf-16"),
        SVG.format(PATH + " " * MAX_SVG_BYTES).encode(),
        SVG.format("<g>" * 400 + PATH + "</g>" * 400).encode(),
        SVG.format(PATH * 501).encode(),
    ],
    ids=range(13),
)
def test_a_bad_picture_is_the_neutral_icon(data: bytes) -> None:
    assert Icon.svg(data) == Icon.NEUTRAL


def test_named_icons() -> None:
    assert Icon.named("chat") == Icon("chat")
    assert Icon.named("<script>") == Icon.NEUTRAL
    assert Icon("neutral", "") == Icon.NEUTRAL
