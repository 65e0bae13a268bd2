"""The door to all template languages: plain placeholders, checks of values, limits, partials, and what holds for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core import rendering
from promptd.core.errors import InputTooLarge, InvalidInput, InvalidRequest
from promptd.core.rendering import Dialect, Fault, Job, Limits, MissingVariable, check, render, variables

OURS = (Dialect.PLAIN, Dialect.MINIJINJA, Dialect.IBIS)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
WORDS = (
    "{{ }} {% %} {# #} {$ $} { } x x.a for y in x if endfor endif | or 'a' ' ( ) 1 [ ] , is defined ~ - join length len "
    "range(3) set with y = x raw else elif ?? :: block trim upper tojson first == *"
)
words = st.sampled_from([*WORDS.split(" "), " x ", " in ", " ", "\n"])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Q: {prompt}", "Q: why?"),
        ("{prompt}{prompt}", "why?why?"),
        ("{n}{list}{yes}", "7[1, 'a']True"),
        ("{unknown} {} { prompt } {prompt.a} {prompt!r}", "{unknown} {} { prompt } {prompt.a} {prompt!r}"),
        ('{{prompt}} {"a": 1}', '{why?} {"a": 1}'),
        ("", ""),
    ],
)
def test_plain_fills_the_names_that_it_knows(source: str, text: str) -> None:
    values = {"prompt": "why?", "n": 7, "list": [1, "a"], "yes": True}
    assert render(source, Dialect.PLAIN, values, now=0.0) == text


def test_plain_reads_each_text_once() -> None:
    assert render("{a}{b}", Dialect.PLAIN, {"a": "{b}", "b": "{a}"}, now=0.0) == "{b}{a}"


def test_plain_names_its_variables() -> None:
    assert variables("{a} {b-c} {} {1} {a}", Dialect.PLAIN) == {"a", "b-c"}


@pytest.mark.parametrize("dialect", OURS)
def test_values_must_be_plain_data(dialect: Dialect) -> None:
    for wrong in (object(), (1, 2), {1}, b"a", {1: 2}, [{"a": print}]):
        with pytest.raises(InvalidInput) as caught:
            render("a", dialect, {"good": 1, "bad": wrong}, now=0.0)
        assert caught.value.field == "bad"


def test_a_value_that_is_too_large_is_named() -> None:
    with pytest.raises(InputTooLarge) as caught:
        render("{{ a }}", Dialect.IBIS, {"a": "small", "b": "x" * 2000}, limits=Limits(input=1000), now=0.0)
    assert caught.value.field == "b"


def test_the_output_has_a_limit_in_bytes() -> None:
    for dialect, source in ((Dialect.PLAIN, "{x}"), (Dialect.IBIS, "{{ x }}"), (Dialect.MINIJINJA, "{{ x }}")):
        assert render(source, dialect, {"x": "ö" * 50}, limits=Limits(output=100), now=0.0) == "ö" * 50
        with pytest.raises(InputTooLarge, match="100 bytes"):
            render(source, dialect, {"x": "ö" * 50 + "a"}, limits=Limits(output=100), now=0.0)


@pytest.mark.parametrize(
    ("dialect", "loop"),
    [
        (Dialect.IBIS, "{% for x in range(60) %}.{% endfor %}"),
        (Dialect.MINIJINJA, "{% for x in range(60) %}.{% endfor %}"),
    ],
)
def test_the_steps_have_a_limit(dialect: Dialect, loop: str) -> None:
    assert render(loop, dialect, {}, limits=Limits(steps=200), now=0.0) == "." * 60
    with pytest.raises(InvalidInput, match="more than 100 steps"):
        render(loop, dialect, {}, limits=Limits(steps=100), now=0.0)


def test_the_template_has_a_limit() -> None:
    with pytest.raises(InvalidRequest, match="characters"):
        check("a" * ((1 << 20) + 1), Dialect.PLAIN)
    with pytest.raises(InvalidInput, match="at most 10 characters"):
        render("a" * 11, Dialect.PLAIN, {}, limits=Limits(source=10), now=0.0)


class Backwards:
    """A language whose templates name one variable, to be written backwards."""

    def variables(self, source: str) -> frozenset[str]:
        if not source.isidentifier():
            raise Fault("No name", 1)
        return frozenset({source})

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        if source not in values:
            raise MissingVariable(source, 1)
        job.meter.write(job.meter.text(values[source])[::-1])
        return "".join(job.meter.parts)


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_renderers", dict(rendering._renderers))
    rendering.register(Dialect.HANDLEBARS, Backwards())


@pytest.mark.usefixtures("backwards")
def test_a_language_can_be_brought() -> None:
    assert variables("x", Dialect.HANDLEBARS) == {"x"}
    assert render("x", Dialect.HANDLEBARS, {"x": "abc"}, now=0.0) == "cba"
    with pytest.raises(InvalidRequest, match="template: line 1: No name"):
        check("1", Dialect.HANDLEBARS)
    with pytest.raises(InvalidInput) as missing:
        render("y", Dialect.HANDLEBARS, {"x": "abc"}, now=0.0)
    assert missing.value.field == "y"
    with pytest.raises(InputTooLarge):
        render("x", Dialect.HANDLEBARS, {"x": "abc"}, limits=Limits(output=2), now=0.0)


def test_a_language_that_nobody_brought_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_renderers", {})
    with pytest.raises(InvalidRequest, match="not installed"):
        check("x", Dialect.HANDLEBARS)


@settings(max_examples=300, deadline=None)
@given(source=st.lists(words, max_size=20).map("".join) | st.text(max_size=40), value=data)
def test_nothing_but_typed_errors_comes_out(source: str, value: Any) -> None:
    for dialect in OURS:
        try:
            names = variables(source, dialect)
        except InvalidRequest:
            names = None
        try:
            render(source, dialect, {"x": value}, now=0.0)
        except (InvalidInput, InputTooLarge):
            continue
        assert names is not None  # what renders was found to be right before


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]), max_size=60))
def test_text_without_tags_renders_to_itself(text: str) -> None:
    for dialect in (Dialect.PLAIN, Dialect.IBIS):
        assert render(text, dialect, {"x": 1}, now=0.0) == text
    expected = text.removesuffix("\n")  # one line end at the end belongs to the file
    assert render(text, Dialect.MINIJINJA, {"x": 1}, now=0.0) == expected


@settings(max_examples=300, deadline=None)
@given(value=data)
def test_a_value_is_written_as_python_writes_it(value: Any) -> None:
    for source, dialect in (("{{ x }}", Dialect.IBIS), ("{{ x }}", Dialect.MINIJINJA), ("{x}", Dialect.PLAIN)):
        assert render(source, dialect, {"x": value}, now=0.0) == str(value)


@settings(max_examples=200, deadline=None)
@given(source=st.lists(words, max_size=12).map("".join))
def test_no_variable_is_forgotten(source: str) -> None:
    """Given all that `variables` names, only what lies inside of them can be missing."""
    try:
        names = variables(source, Dialect.MINIJINJA)
    except InvalidRequest:
        return
    try:
        render(source, Dialect.MINIJINJA, dict.fromkeys(names, "a"), now=0.0)
    except InvalidInput as error:
        missing = error.field
    else:
        missing = ""
    assert missing == "" or "." in missing or "[" in missing
