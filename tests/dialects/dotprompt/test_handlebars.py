"""The template language, case by case.

The first implementation, in JavaScript, shows the same, save for objects (JSON here, their type there), for what is absent
as JSON, and for numbers side by side, which it adds up.
"""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.dialects.dotprompt import check, render_text, variables

pytestmark = pytest.mark.slow

DATA: dict[str, Any] = {
    "name": "Ada",
    "html": "<b>&",
    "zero": 0,
    "half": 0.5,
    "whole": 5.0,
    "big": 1e21,
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": "",
    "none": [],
    "list": ["a", "b"],
    "mixed": [1, None, [2, "x"], True],
    "user": {"name": "Eve", "tags": ["x", "y"], "a b": "spaced", "inner": {"deep": 1}},
    "rows": [{"n": 1, "kids": ["p", "q"]}, {"n": 2, "kids": []}],
}

CASES = [
    # values
    ("Hello, {{name}}!", "Hello, Ada!"),
    ("{{ name }}{{name }}", "AdaAda"),
    ("{{html}}{{{html}}}{{&html}}", "<b>&<b>&<b>&"),
    ("{{zero}} {{half}} {{whole}} {{big}}", "0 0.5 5 1e+21"),
    ("{{yes}} {{no}} [{{nothing}}] [{{missing}}] [{{missing.more}}]", "true false [] [] []"),
    ("{{list}} {{mixed}}", "a,b 1,,2,x,true"),
    ("{{user.inner}}", '{"deep":1}'),
    ('{{name}}}{"a": {{zero}}}', 'Ada}{"a": 0}'),
    # paths
    ("{{user.name}} {{user/name}} {{this.name}} {{./name}}", "Eve Eve Ada Ada"),
    ("{{user.[a b]}} {{[name]}} {{user.['a b']}}", "spaced Ada "),
    ("{{list.[0]}}{{list.1}} {{list.length}} {{name.length}} [{{list.9}}]", "ab 2 3 []"),
    ("{{rows.[1].n}} {{@root.name}} {{@root.user.name}}", "2 Ada Eve"),
    ('{{"name"}} {{lookup user "name"}} {{lookup list 1}} {{lookup (lookup user "inner") "deep"}}', "Ada Eve b 1"),
    # conditions
    ("{{#if yes}}y{{else}}n{{/if}}{{#if zero}}y{{else}}n{{/if}}{{#if none}}y{{else}}n{{/if}}", "ynn"),
    ("{{#if user}}y{{/if}}{{#if empty}}y{{/if}}{{#if nothing}}y{{/if}}{{#if half}}y{{/if}}", "yy"),
    ("{{#if zero includeZero=true}}y{{/if}}", "y"),
    ("{{#unless no}}u{{else}}e{{/unless}}{{#unless yes}}u{{^}}e{{/unless}}", "ue"),
    ("{{#if no}}1{{else if zero}}2{{else if yes}}3{{else}}4{{/if}}", "3"),
    ("{{#if no}}1{{else unless zero}}2{{/if}}", "2"),
    ('{{#ifEquals zero 0}}y{{/ifEquals}}{{#ifEquals zero "0"}}y{{else}}n{{/ifEquals}}', "yn"),
    ("{{#ifEquals whole 5}}y{{/ifEquals}}{{#ifEquals yes 1}}y{{else}}n{{/ifEquals}}", "yn"),
    ("{{#unlessEquals name 'Ada'}}y{{else}}n{{/unlessEquals}}{{#ifEquals nothing null}}n{{/ifEquals}}", "nn"),
    ("{{#ifEquals list list}}same{{/ifEquals}}{{#ifEquals list rows}}same{{else}}other{{/ifEquals}}", "sameother"),
    # loops and contexts
    ("{{#each list}}{{@index}}{{this}}{{#unless @last}},{{/unless}}{{/each}}", "0a,1b"),
    ("{{#each list}}{{#if @first}}>{{/if}}{{.}}{{/each}}{{#each none}}x{{else}}none{{/each}}", ">abnone"),
    ("{{#each user.inner}}{{@key}}={{this}}{{/each}}{{#each name}}x{{else}}-{{/each}}", "deep=1-"),
    ("{{#each rows}}{{n}}{{../name}}{{#each kids}}{{this}}{{../n}}{{../../name}}{{/each}};{{/each}}", "1Adap1Adaq1Ada;2Ada;"),
    ("{{#each rows}}{{#if n}}{{../name}}{{/if}}{{/each}}", "AdaAda"),
    ("{{#each rows as |row no|}}{{no}}{{row.n}}{{#each row.kids as |kid|}}{{kid}}{{row.n}}{{/each}}{{/each}}", "01p1q112"),
    ("{{#each rows}}{{#each kids}}{{@../index}}{{@index}} {{/each}}{{/each}}", "00 01 "),
    ("{{#with user}}{{name}}{{#with inner}}{{deep}}{{../name}}{{/with}}{{/with}}{{#with empty}}x{{else}}-{{/with}}", "Eve1Eve-"),
    ("{{#with user as |u|}}{{u.name}}{{/with}}", "Eve"),
    ("{{#user}}{{name}}{{/user}}{{#list}}{{.}}{{/list}}{{#yes}}{{name}}{{/yes}}{{#no}}x{{else}}n{{/no}}", "EveabAdan"),
    ("{{^none}}none{{/none}}{{^missing}}m{{/missing}}{{^yes}}x{{/yes}}{{#zero}}{{.}}{{/zero}}", "nonem0"),
    # helpers
    ("{{json user.inner}} {{json list}} {{json whole}} {{json missing}} {{json name}}", '{"deep":1} ["a","b"] 5 null "Ada"'),
    ("{{json list indent=2}}", '[\n  "a",\n  "b"\n]'),
    ("{{log name}}{{#if (lookup user 'name')}}y{{/if}}", "y"),
    ("{{role}}{{json}}{{section}}", ""),
    # comments and escapes
    ("a{{! a comment }}b{{!-- with {{name}} --}}c{{!}}d{{!--}}e", "abcde"),
    (r"\{{name}} {{name}} \\{{name}} \{{a}}\{{b}}", r"{{name}} Ada \Ada {{a}}{{b}}"),
    ("{ {name} } }} {", "{ {name} } }} {"),
    # whitespace
    ("a  {{~name~}}  b", "aAdab"),
    ("a\n{{#if yes}}\n  b\n{{/if}}\nc", "a\n  b\nc"),
    ("a\n  {{#if yes}}  \n b\n  {{else}}  \n c\n  {{/if}}  \nd", "a\n b\nd"),
    ("a {{#if yes}}\nb\n{{/if}} c", "a \nb\n c"),
    ("{{#if yes}}\na\n{{/if}}", "a\n"),
    ("a\r\n{{#if yes}}\r\nb\r\n{{/if}}\r\nc", "a\r\nb\r\nc"),
    ("a\n{{! gone }}\nb\n{{name}}\nc", "a\nb\nAda\nc"),
    ("{{#each list~}}  x  {{~/each}}", "xx"),
    ("{{#if no}}\nx\n{{else if yes}}\ny\n{{else}}\nz\n{{/if}}\n", "y\n"),
    ("{{#if yes}} a {{~else~}} b {{/if}}|", " a|"),
]  # fmt: skip

PARTIALS = {
    "hello": "Hello, {{name}}!",
    "lines": "one\n{{name}}\n",
    "rows": "{{#each rows}}{{> row}}{{/each}}",
    "row": "<{{n}}>",
    "down": "{{n}}{{#if kids}}{{#each kids}}{{> down}}{{/each}}{{/if}}",
    "dir/inner": "in a folder",
    "outer": "[{{../name}}]",
}
WITH_PARTIALS = [
    ("{{> hello}} {{> hello name='Bob'}} {{> hello user}}", "Hello, Ada! Hello, Bob! Hello, Eve!"),
    ("{{> rows}}{{> dir/inner}}{{> (lookup @names 'first')}}", "<1><2>in a folderHello, Ada!"),
    ("a\n  {{> lines}}\nb", "a\n  one\n  Ada\nb"),
    ("a {{> lines}} b", "a one\nAda\n b"),
    ("{{#each rows}}{{> outer}}{{/each}}", "[][]"),
    ("{{#with user}}{{> hello greeting=1}}{{/with}}", "Hello, Eve!"),
]


@pytest.mark.parametrize(("source", "expected"), CASES)
def test_case(source: str, expected: str) -> None:
    assert render_text(source, DATA) == expected


@pytest.mark.parametrize(("source", "expected"), WITH_PARTIALS)
def test_partial(source: str, expected: str) -> None:
    assert render_text(source, DATA, partials=PARTIALS, context={"names": {"first": "hello"}}) == expected


def test_a_partial_may_call_itself() -> None:
    tree = {"n": 1, "kids": [{"n": 2, "kids": [{"n": 3}]}, {"n": 4}]}
    assert render_text("{{> down}}", tree, partials=PARTIALS) == "1234"


WRONG = [
    ("a\n{{name", 2, "the tag has no end"),
    ("{{#if a}}\n{{#each b}}\n{{/if}}", 3, "the block of line 2 is each"),
    ("\n\n{{/if}}", 3, "does not begin"),
    ("\n{{#if a}}", 2, "has no end"),
    ("{{else}}", 1, "outside of a block"),
    ("{{#if a}}{{else}}\n{{else}}{{/if}}", 2, "a second `else`"),
    ("\n{{shout name}}", 2, "no helper 'shout'"),
    ("{{json (shout name)}}", 1, "no helper 'shout'"),
    ("{{#shout name}}{{/shout}}", 1, "no helper 'shout'"),
    ("{{#if}}{{/if}}", 1, "'if' takes 1 value, not 0"),
    ("{{#if a b}}{{/if}}", 1, "'if' takes 1 value, not 2"),
    ("{{if a}}", 1, "'if' is a block"),
    ("{{#json a}}{{/json}}", 1, "'json' is no block"),
    ("{{json a color=1}}", 1, "'json' takes no 'color'"),
    ("{{json (role 'user')}}", 1, "'role' gives no value"),
    ("{{media 'x'}}", 1, "'media' takes 0 values, not 1"),
    ("{{{name}}", 1, "ends with }}}"),
    ("{{!-- never ends }}", 1, "the comment has no end"),
    ("{{{{raw}}}}{{{{/raw}}}}", 1, "raw blocks"),
    ("{{#*inline 'x'}}{{/inline}}", 1, "decorators and inline partials"),
    ("{{* x}}", 1, "decorators"),
    ("{{#> layout}}{{/layout}}", 1, "partial blocks"),
    ("{{> a b c}}", 1, "one context"),
    ("{{lookup a b=1 c}}", 1, "before those with one"),
    ("{{lookup a.b=1}}", 1, "not a name"),
    ("{{(json a)}}", 1, "what is called"),
    ("{{lookup (a}}", 1, ""),
    ("{{a..b}}", 1, ""),
    ("{{=}}", 1, ""),
    ("{{json 99999999999999999999}}", 1, "too long"),
    ("\n{{role 'boss'}}", 2, "no role 'boss'"),
]


@pytest.mark.parametrize(("source", "line", "reason"), WRONG)
def test_a_wrong_template_is_refused_with_its_line(source: str, line: int, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(source, field="messages[0].source")
    assert refused.value.field == "messages[0].source"
    assert refused.value.message.startswith(f"messages[0].source: line {line}: ")
    assert reason.lower() in refused.value.message.lower()


@pytest.mark.parametrize(
    ("source", "partials", "reason"),
    [
        ("\n{{> gone}}", {}, "line 2: There is no partial 'gone'"),
        ("{{> bad}}", {"bad": "\n\n{{#if x}}"}, "line 3: In the partial 'bad': The block if has no end"),
    ],
)
def test_a_partial_that_fails_is_named(source: str, partials: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        render_text(source, {}, partials=partials)
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{a}}\n{{b.c}} {{a}} {{this.d}} {{[e f]}}", {"a": 1, "b": 2, "d": 2, "e f": 2}),
        ("{{#each rows}}{{n}}{{../top}}{{#if x}}{{../other}}{{/if}}{{else}}{{z}}{{/each}}", {"rows": 1, "top": 1, "other": 1, "z": 1}),
        ("{{#with a}}{{b}}{{@root.c}}{{#with d}}{{../e}}{{../../f}}{{/with}}{{/with}}", {"a": 1, "c": 1, "f": 1}),
        ("{{#if a}}{{b}}{{else if c}}{{d}}{{/if}}{{#f}}{{g}}{{/f}}", {"a": 1, "b": 1, "c": 1, "d": 1, "f": 1}),
        ("{{#each rows as |row no|}}{{row.x}}{{no}}{{y}}{{../z}}{{/each}}", {"rows": 1, "z": 1}),
        ("{{json a indent=b}}{{lookup c (lookup d 'e')}}{{@state.x}}{{history}}{{role 'user'}}", {"a": 1, "b": 1, "c": 1, "d": 1}),
        ("{{> hello}}\n{{> rows}}{{> hello name=who}}{{> hello user}}{{> gone}}", {"name": 1, "rows": 2, "who": 2, "user": 2}),
        ("{{json this}}", {}),
    ],
)  # fmt: skip
def test_variables_are_what_a_template_reads(source: str, expected: dict[str, int]) -> None:
    assert variables(source, PARTIALS) == expected
