"""promptd's own template language. `TEMPLATES` and `EXPRESSIONS` are those that minijinja itself renders to the same texts
(`test_minijinja_itself.py`)."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.core.rendering import Dialect, check, render, variables

VALUES: dict[str, Any] = {
    "s": "Hello, world!",
    "empty": "",
    "n": 7,
    "f": 1.5,
    "yes": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "none_in_it": [],
    "ls": ["a", "B", "c"],
    "d": {"a": 1, "b": "two", "c": {"x": [10, 20]}},
    "people": [{"name": "Ann", "age": 3}, {"name": "Bob", "age": 1}],
    "lines": "one\ntwo\n\nthree",
}


def jinja(source: str, values: dict[str, Any] | None = None, partials: dict[str, str] | None = None) -> str:
    return render(source, Dialect.MINIJINJA, VALUES if values is None else values, partials=partials, now=0.0)


#: templates, and what they render to
TEMPLATES = [
    ("{{ s }} {{ n }} {{ f }} {{ yes }}{{ no }}{{ nil }}", "Hello, world! 7 1.5 TrueFalseNone"),
    ("{{ l }}{{ d }}", "[3, 1, 2]{'a': 1, 'b': 'two', 'c': {'x': [10, 20]}}"),
    ("{{ d.a }}{{ d['b'] }}{{ d.c.x[1] }}{{ l[-1] }}{{ l.0 }}", "1two2023"),
    ("{{ l[1:] }}{{ s[:5] }}{{ s[::-1] }}{{ l[::2] }}", "[1, 2]Hello!dlrow ,olleH[3, 2]"),
    ("{{ 1 + 2 * 3 }}{{ (1 + 2) * 3 }}{{ n / 2 }}{{ n // 2 }}{{ n % 4 }}{{ -n }}", "793.533-7"),
    ("{{ 'a' ~ 1 ~ none }}{{ 'a' + 'b' }}{{ 'ab' * 3 }}{{ [1] + [2] }}", "a1Noneabababab[1, 2]"),
    ("{{ 'x' if yes else 'y' }}{{ 'x' if no }}{{ 'x' if no else 'y' }}", "xy"),
    ("{{ not yes }}{{ yes and no }}{{ empty or 'dflt' }}{{ n > 3 and n < 9 }}", "FalseFalsedfltTrue"),
    (
        "{{ 1 in l }}{{ 9 not in l }}{{ 'wor' in s }}{{ n == 7 }}{{ not n == 7 }}{{ 'a' in ('a', 'b') }}",
        "TrueTrueTrueTrueFalseTrue",
    ),
    ("{{ {'a': [1, {'b': none}]} }}{{ '}}' }}{{ 'a' \"b\" }}", "{'a': [1, {'b': None}]}}}ab"),
    (
        "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.last }}:{{ x }},{% endfor %}",
        "103False:3,212False:1,321True:2,",
    ),
    ("{% for x in none_in_it %}a{% else %}none{% endfor %}", "none"),
    ("{% for x in nil %}a{% else %}none{% endfor %}", "none"),
    ("{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}", "a=1;b=two;c={'x': [10, 20]};"),
    ("{% for k, v in d.items() %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}", "abcabc"),
    ("{% for p in people if p.age > 2 %}{{ p.name }}{{ loop.index }}{% endfor %}", "Ann1"),
    ("{% for i in range(1, 10, 3) %}{{ i }}{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}", "147a.b."),
    ("{% if n == 1 %}a{% elif n == 7 %}b{% else %}c{% endif %}", "b"),
    ("{% set x = 5 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "3125"),
    ("{% set x %}a{{ n }}{% endset %}{{ x|upper }}", "A7"),
    ("{% with a = 1, b = a + 1 %}{{ a + b }}{% endwith %}", "3"),
    ("a {%- if yes %} b {% endif -%} c{# x #}d {#- y -#} e", "a b cdd e".replace("dd e", "de")),
    ("a {{- n -}} b{% raw %}{{ x }}{% endraw %}", "a7b{{ x }}"),
    ("a\n\n", "a\n"),
    ("{{ '<b>' }}", "<b>"),
]

#: what may stand between braces, and what is printed
EXPRESSIONS = [
    ("s|upper", "HELLO, WORLD!"),
    ("s|title", "Hello, World!"),
    ("'a b'|capitalize", "A b"),
    ("s|length", "13"),
    ("l|join(', ')", "3, 1, 2"),
    ("people|map(attribute='name')|join(',')", "Ann,Bob"),
    ("ls|map('upper')|join", "ABC"),
    ("l|first ~ l|last", "32"),
    ("l|sort", "[1, 2, 3]"),
    ("ls|sort(reverse=true)", "['c', 'B', 'a']"),
    ("people|sort(attribute='age')|map(attribute='name')", "['Bob', 'Ann']"),
    ("l|sum + l|min + l|max", "10"),
    ("[1, 1, 2]|unique", "[1, 2]"),
    ("missing|default('D')", "D"),
    ("empty|default('D', true)", "D"),
    ("nil|default('x')", "None"),
    ("s|replace('l', 'L')", "HeLLo, worLd!"),
    ("'  x '|trim", "x"),
    ("lines|indent(2)", "one\n  two\n\n  three"),
    ("lines|indent(1, true, true)", " one\n two\n \n three"),
    ("d|tojson", '{"a": 1, "b": "two", "c": {"x": [10, 20]}}'),
    ("[]|tojson(indent=2)", "[]"),
    ("'3'|int + 1", "4"),
    ("'x'|int(0)", "0"),
    ("range(3)", "[0, 1, 2]"),
    ("n|replace('7', '8')", "8"),
    ("[s is odd, missing is number, n is startingwith('7'), nil is even]", "[False, False, True, False]"),
    ("3.7|int", "3"),
    ("2.567|round(2)", "2.57"),
    ("-3|abs", "3"),
    ("d|dictsort|first", "('a', 1)"),
    ("'a,b'|split(',')", "['a', 'b']"),
    ("lines|lines", "['one', 'two', '', 'three']"),
    ("l|batch(2, 0)", "[[3, 1], [2, 0]]"),
    ("l|select('odd')|list", "[3, 1]"),
    ("people|selectattr('age', 'gt', 2)|map(attribute='name')|first", "Ann"),
    ("people|rejectattr('age', 'gt', 2)|length", "1"),
    ("missing is defined", "False"),
    ("d.zz is not defined", "True"),
    ("n is odd and n is not even", "True"),
    ("n is divisibleby(7) and s is startingwith('H')", "True"),
    ("[nil is none, d is mapping, l is sequence, s is string, yes is boolean]", "[True, True, True, True, True]"),
    ("n is in([7])", "True"),
    ("[s is sequence, nil is iterable, yes is number, n is endingwith('7')]", "[False, True, True, True]"),
    ("[3 > 2 > 1, 1 < 3 > 2, 3 > 2 > 2, 1 in [1] in [[1]], 1 == 2 < missing]", "[True, True, False, True, False]"),
    ("[missing is iterable, missing is sequence]", "[True, True]"),
    ("'a-b c_d (x)\\n y'|title", "A-B C_d (X)\n Y"),
    ("[ls|min, ls|min(case_sensitive=true), 1 ~ 2 * 3]", "['a', 'B', '16']"),
    ("[no < 0, yes > 0, no > -1, 1 >= yes, yes == 1]", "[True, False, False, True, True]"),
    ("[yes, 1, 0, no]|sort", "[False, True, 0, 1]"),
    ("['a', 'A', 1, 1.0, yes]|unique", "['a', 1, True]"),
    ("nil|list ~ nil|join ~ nil|select|sum", "[]0"),
    ("'<b>'|e", "&lt;b&gt;"),
]


@pytest.mark.parametrize(("source", "text"), TEMPLATES)
def test_what_a_template_renders_to(source: str, text: str) -> None:
    assert jinja(source) == text


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS)
def test_filters_and_tests(expression: str, text: str) -> None:
    assert jinja("{{ " + expression + " }}") == text


def test_json_is_written_for_a_model_and_not_for_a_page() -> None:
    """minijinja would escape the tags, for HTML."""
    assert jinja("{{ x|tojson }}", {"x": "<a>it's ö"}) == '"<a>it\'s ö"'


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("{{ missing }}", "missing"),
        ("{{ d.zz }}", "d.zz"),
        ("{{ d.zz.y }}", "d.zz"),
        ("{{ d['zz'] }}", "d['zz']"),
        ("{{ l[99] }}", "l[99]"),
        ("{% if missing %}{% endif %}", "missing"),
        ("{% for x in missing %}{% endfor %}", "missing"),
        ("{% for p in people %}{{ p.email }}{% endfor %}", "p.email"),
        ("{{ missing|upper }}", "missing"),
        ("{{ missing ~ 'x' }}", "missing"),
        ("{{ missing or 'x' }}", "missing"),
        ("{{ s.__class__ }}", "s.__class__"),
    ],
)
def test_a_missing_variable_is_named(source: str, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        jinja(source)
    assert caught.value.field == path
    assert "line 1" in caught.value.message


@pytest.mark.parametrize(
    ("source", "line", "wrong"),
    [
        ("\n{{ s", 2, "no }}"),
        ("{# a", 1, "no #}"),
        ("{% raw %}", 1, "no endraw"),
        ("{% if yes %}\n", 1, "no endif"),
        ("\n\n{% endfor %}", 3, "'endfor'"),
        ("{% macro f() %}{% endmacro %}", 1, "'macro'"),
        ("{% import 'x' as y %}", 1, "'import'"),
        ("{% extends 'x' %}", 1, "'extends'"),
        ("{% include name %}", 1, "in quotes"),
        ("{{ }}", 1, "a value"),
        ("{{ s|nosuch }}", 1, "'nosuch'"),
        ("{{ s is nosuch }}", 1, "'nosuch'"),
        ("{{ s.upper() }}", 1, "upper"),
        ("{{ namespace(a=1) }}", 1, "'namespace'"),
        ("{{ 2 ** 3 }}", 1, "'**'"),
        ("{% for x in l recursive %}{% endfor %}", 1, "'recursive'"),
        ("{{ 'a }}", 1, "no }}"),
        ("{{ a b }}", 1, "'b'"),
        ("{{ ? }}", 1, "can't be read"),
    ],
)
def test_what_is_wrong_is_found_when_the_template_is_stored(source: str, line: int, wrong: str) -> None:
    with pytest.raises(InvalidRequest, match=f"template: line {line}: ") as caught:
        check(source, Dialect.MINIJINJA)
    assert wrong in caught.value.message


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("\n{{ s + 1 }}", "line 2: + can't"),
        ("{{ 1 / 0 }}", "/ can't"),
        ("{{ s < n }}", "< can't compare"),
        ("{{ n|upper|sum }}", "sum"),
        ("{% for x in n %}{% endfor %}", "walked through"),
        ("{% for a, b in l %}{% endfor %}", "a, b"),
        ("{{ none_in_it|first }}", "no such item"),
        ("{{ s|replace(1) }}", "replace"),
        ("{{ s|int }}", "int"),
        ("{{ none_in_it|float }}", "float"),
        ("{{ l|map('nosuch') }}", "'nosuch'"),
        ("{{ yes|abs }}", "abs"),
        ("{{ yes|round }}", "round"),
        ("{{ -yes }}", "- can't"),
        ("{{ 1 ~ 2 + 3 }}", "+ can't"),
    ],
)
def test_what_fails_with_these_values(source: str, wrong: str) -> None:
    check(source, Dialect.MINIJINJA)
    with pytest.raises(InvalidInput) as caught:
        jinja(source)
    assert wrong in caught.value.message


def test_partials_have_their_own_names() -> None:
    """In minijinja what a partial sets stays behind it."""
    assert jinja("{% include 'a' %}{{ x }}", {"x": 1}, {"a": "{% set x = 2 %}{{ x }}"}) == "21"


def test_escaping_twice_escapes_twice() -> None:
    """minijinja remembers which texts are escaped; here they are plain texts."""
    assert jinja("{{ '<'|e|e }}") == "&amp;lt;"


def test_partials() -> None:
    partials = {"rules": "Be {{ tone }}.{% set tone = 'rude' %}", "all": "{% include 'rules' %}{% include 'rules' %}"}
    assert jinja("{% include 'rules' %} {{ tone }}", {"tone": "kind"}, partials) == "Be kind. kind"
    assert jinja("{% include 'all' %}", {"tone": "kind"}, partials) == "Be kind.Be kind."
    with pytest.raises(InvalidInput, match="no partial 'nosuch'"):
        jinja("{% include 'nosuch' %}", {}, partials)
    with pytest.raises(InvalidInput) as missing:
        jinja("{% include 'rules' %}", {}, partials)
    assert missing.value.field == "tone"
    with pytest.raises(InvalidInput, match="in the partial 'bad', line 2: "):
        jinja("{% include 'bad' %}", {}, {"bad": "\n{{ 1 + 'a' }}"})


def test_filled_in_text_is_never_a_template() -> None:
    harm = "{{ s }}{% include 'x' %}{# #}"
    assert jinja("{{ x }}{% set y = x %}{{ y }}", {"x": harm}, {"x": "?"}) == harm * 2


def test_its_variables() -> None:
    source = (
        "{{ a.b|default(c) }}{% for x, y in d|items if e %}{{ x }}{{ loop.index }}{{ f }}{% endfor %}{{ y }}"
        "{% with p = q, r = p %}{{ r }}{% endwith %}{{ r }}{% set g = h %}{{ g }}{{ range(i) }}{{ 'j' if k is defined }}"
    )
    assert variables(source, Dialect.MINIJINJA) == set("acdefhikqry")


def test_the_variables_of_its_partials() -> None:
    partials = {
        "rules": "Be {{ tone }} to {{ name }}.{% include 'more' %}",
        "more": "{{ deep }}{{ name }}{% include 'rules' %}",
    }
    source = "{{ a }}{% set name = 'Ann' %}{% include 'rules' %}{% include 'unknown' %}"
    assert variables(source, Dialect.MINIJINJA, partials=partials) == {"a", "tone", "deep"}
    assert variables(source, Dialect.MINIJINJA) == {"a"}
    with pytest.raises(InvalidRequest, match="no endif"):
        variables("{% include 'bad' %}", Dialect.MINIJINJA, partials={"bad": "{% if x %}"})
