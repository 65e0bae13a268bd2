"""Our interpreter beside minijinja: what both can render, both render to the same text, but for what
`test_rendering_minijinja.py` names, and floats that Python writes with an exponent.

The package is no part of promptd, because its fuel counts no bytes (docs/dependencies.md). It says what templates mean.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minijinja import Environment, TemplateError

from promptd.core.errors import InvalidInput, InvalidRequest
from tests.core.test_rendering_minijinja import EXPRESSIONS, TEMPLATES, VALUES, jinja


def original(source: str, values: dict[str, Any] = VALUES, partials: dict[str, str] | None = None) -> str:
    environment = Environment(undefined_behavior="strict", fuel=100_000, templates=partials or {})
    return environment.render_str(source, **values)


@pytest.mark.parametrize(("source", "text"), [*TEMPLATES, *(("{{ " + it + " }}", text) for it, text in EXPRESSIONS)])
def test_it_says_the_same(source: str, text: str) -> None:
    assert original(source) == text


def test_partials_too() -> None:
    partials = {"rule": "Be {{ tone }}.", "all": "{% for tone in tones %}{% include 'rule' %}{{ tone }}{% endfor %}"}
    values = {"tone": "kind", "tones": ["brief", "calm"]}
    for source in (
        "{% include 'rule' %} {{ tone }}",
        "{% include 'all' %}",
        "{% with tone = 1 %}{% include 'rule' %}{% endwith %}",
    ):
        assert jinja(source, values, partials) == original(source, values, partials)


# ------------------------------------------------------------------ any template

NUMBERS = st.integers(-20, 20).map(str) | st.sampled_from(["1.5", "0.25", "n", "f"])
TEXTS = st.sampled_from(["'a'", "'Bc d'", "s", "empty", "lines", "''"])
LISTS = st.sampled_from(["l", "ls", "none_in_it", "[1, 'a', none]", "people", "[[1, 2], []]"])
ATOMS = (
    NUMBERS
    | TEXTS
    | LISTS
    | st.sampled_from(["true", "false", "none", "d", "d.a", "d.c.x[0]", "d['b']", "missing", "people[1].name"])
)
FILTERS = [
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "length",
    "first",
    "last",
    "sort",
    "unique",
    "reverse",
    "list",
    "string",
    "int",
    "float",
    "abs",
    "e",
    "sum",
    "min",
    "max",
    "default('D')",
    "default('D',true)",
    "join",
    "join('-')",
    "replace('a','b')",
    "round",
    "round(1)",
    "map('upper')",
    "batch(2)",
    "items",
    "dictsort",
    "tojson",
    "indent(2)",
    "split",
    "select",
    "reject",
    "selectattr('age')",
    "map(attribute='name')",
    "bool",
]
TESTS = [
    "defined",
    "undefined",
    "none",
    "odd",
    "even",
    "string",
    "number",
    "mapping",
    "sequence",
    "boolean",
    "true",
    "false",
    "divisibleby(2)",
    "in([1,'a'])",
    "startingwith('a')",
    "iterable",
    "eq(1)",
    "gt(0)",
]
SIGNS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(SIGNS), inner),
        st.builds("{} {} {}".format, inner, st.sampled_from(SIGNS), inner),
        st.builds("{}|{}".format, inner, st.sampled_from(FILTERS)),
        st.builds("({})|{}".format, inner, st.sampled_from(FILTERS)),
        st.builds("{} is {}".format, inner, st.sampled_from(TESTS)),
        st.builds("{} is not {}".format, inner, st.sampled_from(TESTS)),
        st.builds("not {}".format, inner),
        st.builds("-{}".format, NUMBERS),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'k': {}}}".format, inner),
        st.builds("({})[{}:{}]".format, inner, st.integers(-3, 3), st.integers(-3, 3)),
    )


EXPRESSION = st.recursive(ATOMS, _grown, max_leaves=6)


def _tagged(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    trim = st.sampled_from(["", "-"])
    return st.one_of(
        st.builds("{}\n{}".format, inner, inner),
        st.builds(
            lambda t, test, yes, no: f"a {{%{t} if {test} {t}%}} {yes} {{%{t} else %}} {no}\n{{% endif {t}%}} b",
            trim,
            EXPRESSION,
            inner,
            inner,
        ),
        st.builds(
            lambda t, many, body: f"{{% for x in {many} {t}%}} {{{{ loop.index }}}}{{{{ x }}}}{body} {{% endfor %}}",
            trim,
            LISTS,
            inner,
        ),
        st.builds(lambda it, body: f"{{% set v = {it} %}}{{{{ v }}}}{body}", EXPRESSION, inner),
        st.builds(lambda it, body: f"{{% with v = {it} %}}{{{{ v }}}}{body}{{% endwith %}}", EXPRESSION, inner),
    )


TEMPLATE = st.recursive(
    st.one_of(EXPRESSION.map("{{{{ {} }}}}".format), st.text("ab {}#%\n", max_size=6)), _tagged, max_leaves=4
)


@given(TEMPLATE)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_whatever_both_render_is_the_same(source: str) -> None:
    ours: str | None
    try:
        ours = jinja(source)
    except (InvalidInput, InvalidRequest):
        ours = None
    theirs: str | None
    try:
        theirs = original(source)
    except TemplateError:
        theirs = None
    assert ours is None or theirs is None or ours == theirs
