"""Conversations out of templates: roles, the history, media and sections; and the door for one text."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core import rendering
from promptd.core.content import Document, Image, Sound, Text, Turn
from promptd.core.errors import InputTooLarge, InvalidInput, InvalidRequest
from promptd.core.metering import Limits
from promptd.core.rendering import Dialect
from promptd.core.template import MessageSource
from promptd.dialects.dotprompt import Handlebars, as_turn, render, render_messages, render_text

pytestmark = pytest.mark.slow

EARLIER = (Turn("user", "Hello"), Turn("assistant", "Hi"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", [("user", "plain")]),
        ("", []),
        (" \n ", []),
        ('{{role "system"}}Be kind.\n{{role "user"}}Hi.', [("system", "Be kind.\n"), ("user", "Hi.")]),
        ('before{{role "model"}}after', [("user", "before"), ("assistant", "after")]),
        ('{{role "system"}}  {{role "user"}}x', [("user", "x")]),
        ('{{role "user"}}a{{role "user"}}b', [("user", "a"), ("user", "b")]),
        ("{{#each who}}{{role this}}{{this}}{{/each}}", [("system", "system"), ("assistant", "model")]),
        ('{{> head}}{{role "developer"}}x', [("system", "from a partial"), ("developer", "x")]),
        ('{{role "user"}}a{{section "s"}}b', [("user", "ab")]),
    ],
)
def test_roles_divide_messages(source: str, expected: list[tuple[str, str]]) -> None:
    partials = {"head": '{{role "system"}}from a partial'}
    turns = render(source, {"who": ["system", "model"]}, partials=partials)
    assert [(turn.role, turn.content) for turn in turns] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{x}}", ["Hello", "Hi", "now"]),
        ('{{role "system"}}Be kind.{{role "user"}}{{x}}', ["Be kind.", "Hello", "Hi", "now"]),
        ('{{role "system"}}Be kind.', ["Be kind.", "Hello", "Hi"]),
        ('{{role "system"}}a{{history}}{{role "user"}}b', ["a", "Hello", "Hi", "b"]),
        ("{{history}}go on", ["Hello", "Hi", "go on"]),
        ("", ["Hello", "Hi"]),
    ],
)
def test_the_history_has_its_place(source: str, expected: list[str]) -> None:
    assert [turn.content for turn in render(source, {"x": "now"}, history=EARLIER)] == expected


def test_earlier_turns_stay_as_they_were() -> None:
    earlier = Turn("user", parts=(Image("https://a/b.png"), Text("what is it?")))
    assert render("more", {}, history=[earlier])[0] is earlier


def test_text_behind_the_history_is_the_models() -> None:
    assert render("{{history}}Well, ", {})[-1] == Turn("assistant", "Well, ")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"url": "https://a/b.png"}, Image("https://a/b.png")),
        ({"url": "https://a/b", "kind": "image/jpeg"}, Image("https://a/b")),
        ({"url": "https://a/b.PDF?x=1.png"}, Document("https://a/b.PDF?x=1.png")),
        ({"url": "https://a/b", "kind": "video/mp4"}, Document("https://a/b")),
        ({"url": "data:image/png;base64,AAAA"}, Image("data:image/png;base64,AAAA")),
        ({"url": "data:audio/mpeg;base64,AAAA"}, Sound("AAAA", "mp3")),
        ({"url": "data:audio/wav;base64,AAAA", "kind": "audio/x-wav"}, Sound("AAAA", "wav")),
        ({"url": "data:application/pdf;base64,AAAA"}, Document("data:application/pdf;base64,AAAA")),
        ({"url": "data:,hello"}, Document("data:,hello")),
    ],
)
def test_media_are_parts(values: dict[str, Any], part: object) -> None:
    (turn,) = render("See {{media url=url contentType=kind}} there", values)
    assert turn == Turn("user", parts=(Text("See "), part, Text(" there")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "values", "field"),
    [
        ("{{media url=x}}", {}, "url"),
        ("{{media url=x}}", {"x": 5}, "url"),
        ("{{media url=x}}", {"x": "file:///etc/passwd"}, "url"),
        ("{{media url=x contentType=y}}", {"x": "https://a", "y": 5}, "contentType"),
        ("{{role x}}a", {"x": "tool"}, "role"),
        ("{{role x}}a", {}, "role"),
    ],
)
def test_a_wrong_mark_is_refused(source: str, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        render(source, values)
    assert refused.value.field == field


def test_what_stands_beside_a_role_is_kept_for_programs() -> None:
    source = '{{role "user" purpose="preamble" no=1}}a{{role "model"}}b'
    first, second = render_messages([MessageSource(source)], {})
    assert (first.metadata, second.metadata) == ({"purpose": "preamble", "no": 1}, {})
    assert as_turn(first) == Turn("user", "a")


def test_messages_of_a_template_are_one_conversation() -> None:
    messages = [
        MessageSource("Be {{how}}.\n{{history}}", "system"),
        MessageSource("{{#if x}}\n{{x}}\n{{/if}}", "user"),
        MessageSource("gone", "user", partial="shared"),
        MessageSource("stays", "user", partial="missing"),
    ]
    shown = render_messages(messages, {"how": "kind", "x": "y"}, partials={"shared": "{{how}}!"}, history=EARLIER)
    assert [as_turn(one) for one in shown] == [
        Turn("system", "Be kind.\n"),
        *EARLIER,
        Turn("user", "y\n"),
        Turn("user", "kind!"),
        Turn("user", "stays"),
    ]


def test_the_meter_is_that_of_all_messages() -> None:
    one = MessageSource("{{#each x}}{{/each}}")
    values, limits = {"x": [0] * 300}, Limits(steps=500)
    render_messages([one], values, limits=limits)
    with pytest.raises(InvalidInput):
        render_messages([one] * 2, values, limits=limits)


def test_a_wrong_message_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        render_messages([MessageSource("a"), MessageSource("\n{{")], {})
    assert (refused.value.field, "line 2" in refused.value.message) == ("messages[1].source", True)


def test_a_text_has_no_roles() -> None:
    assert render_text("a{{x}}", {"x": 1}) == "a1"
    with pytest.raises(InvalidInput, match="role"):
        render_text('{{role "system"}}a', {})


def test_context_is_not_among_the_values() -> None:
    assert render_text("{{@auth.email}}{{auth.email}}", {}, context={"auth": {"email": "a@b"}}) == "a@b"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rendering._renderers, Dialect.HANDLEBARS, Handlebars())


@pytest.mark.usefixtures("door")
def test_the_one_door_knows_the_language() -> None:
    assert rendering.variables("{{a}}{{#each b}}{{c}}{{/each}}", Dialect.HANDLEBARS) == {"a", "b"}
    assert rendering.render("{{> p}}!", Dialect.HANDLEBARS, {"a": 1}, partials={"p": "{{a}}"}, now=0) == "1!"
    with pytest.raises(InvalidRequest, match="line 2"):
        rendering.check("\n{{#if}}", Dialect.HANDLEBARS)
    with pytest.raises(InvalidInput, match="role"):
        rendering.render("{{role 'user'}}", Dialect.HANDLEBARS, {}, now=0)
    with pytest.raises(InputTooLarge):
        rendering.render("{{a}}{{a}}", Dialect.HANDLEBARS, {"a": "x" * 60}, limits=Limits(output=100), now=0)
