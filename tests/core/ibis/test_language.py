"""TrustGraph's template language: what each construct of the contract (§4.3) renders to, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.core.ibis import Template
from promptd.core.rendering import Dialect, check, render, variables

VALUES: dict[str, Any] = {
    "s": "Hello, world!",
    "empty": "",
    "n": 7,
    "zero": 0,
    "f": 1.5,
    "yes": True,
    "no": False,
    "none": None,
    "l": [1, 2, 3],
    "ls": ["a", "b", "c"],
    "d": {"a": 1, "b": "two", "c": {"x": [10, 20]}},
    "ld": [{"name": "Ann", "age": 3}, {"name": "Bob"}],
    "pairs": [[1, 2], [3, 4]],
    "html": "<h1>Top</h1> <p>One</p>\n <p>two</p>",
    "shadow": {"items": "mine", "keys": 1},
    "stack": "reachable",
}


def ibis(source: str, values: dict[str, Any] | None = None, *, now: float = 0.0, seed: int = 0) -> str:
    return render(source, Dialect.IBIS, VALUES if values is None else values, now=now, seed=seed)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        # printing
        ("{{ s }}", "Hello, world!"),
        ("{{s}}{{ n }}", "Hello, world!7"),
        ("{$ html|firstp $}{$ '<b>' $}", "One&lt;b&gt;"),
        ("a{# {{ s }} #}b", "ab"),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("{ } }} $} %}", "{ } }} $} %}"),
        # how Python writes it
        ("{{ yes }}{{ no }}{{ none }}", "TrueFalseNone"),
        ("{{ d }}", "{'a': 1, 'b': 'two', 'c': {'x': [10, 20]}}"),
        ("{{ ls }}{{ f }}", "['a', 'b', 'c']1.5"),
        # paths
        ("{{ d.a }}{{ d.c.x.1 }}{{ l.0 }}{{ s.0 }}", "1201H"),
        ("{{ missing }}{{ d.zz }}{{ d.zz.y }}{{ l.9 }}{{ n.a }}{{ a..b }}{{ 007 }}", ""),
        ("{{ shadow.items }}{{ shadow.keys }}", "mine1"),
        ("{{ stack }}", "reachable"),
        ("{{ d.items }}", ""),
        # literals
        ("{{ 'a' }}{{ \"b\" }}{{ 'it\\'s' }}{{ '\\n\\x41' }}{{ r'\\n' }}{{ 'a' 'b' }}", "abit's\nA\\nab"),
        (
            "{{ 1 }} {{ -5 }} {{ 1.5 }} {{ .5 }} {{ 5. }} {{ 1e3 }} {{ 0x1F }} {{ 1_000 }}",
            "1 -5 1.5 0.5 5.0 1000.0 31 1000",
        ),
        (
            "{{ [1, 'a'] }}{{ (1, 2) }}{{ {'a': 1} }}{{ 'odd', 'even' }}{{ 1, }}",
            "[1, 'a'](1, 2){'a': 1}('odd', 'even')(1,)",
        ),
        ("{{ True }}{{ None }}{{ [] }}{{ () }}", "TrueNone[]()"),
        ("{{ '|' }}{{ ' or ' }}{{ '||' }}", "| or ||"),
        # calls
        ("{{ range(3) }}{{ range(1, 4)|join(',') }}", "range(0, 3)1,2,3"),
        ("{{ is_defined('d.a') }}{{ is_defined('d.z') }}", "TrueFalse"),
        ("{{ context.s }}{{ context.get('n') }}{{ context.get('z', 'no') }}", "Hello, world!7no"),
        ("{{ d.keys() }}{{ d.values()|len }}", "dict_keys(['a', 'b', 'c'])3"),
        # alternatives
        ("{{ missing or empty or s }}{{ no || n }}{{ missing or zero }}", "Hello, world!70"),
        ("{{ yes ?? 'a' :: 'b' }}{{ missing ?? 'a' :: 'b' }}", "ab"),
        # loops
        ("{% for x in l %}{{ x }},{% endfor %}", "1,2,3,"),
        ("{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;b=two;c={'x': [10, 20]};"),
        ("{% for a,b in pairs %}{{ a }}{{ b }} {% endfor %}", "12 34 "),
        ("{% for k in d %}{{ k }}{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}", "abca.b."),
        ("{% for x in missing %}a{% empty %}none{% endfor %}{% for x in n %}a{% empty %}-{% endfor %}", "none-"),
        (
            "{% for x in ls %}{{ loop.index }}{{ loop.count }}{{ loop.length }}{{ loop.is_first }}{{ loop.is_last }} {% endfor %}",
            "013TrueFalse 123FalseFalse 233FalseTrue ",
        ),
        (
            "{% for x in l %}{{ loop.parent }}{% for y in 'a' %}{{ loop.parent.count }}{% endfor %}{% endfor %}",
            "None1None2None3",
        ),
        ("{% for x in ld %}{{ x.name }}({{ x.age }}){% endfor %}{{ x }}", "Ann(3)Bob()"),
        # conditions
        ("{% if yes %}a{% else %}b{% endif %}{% if missing %}a{% endif %}", "a"),
        ("{% if no %}a{% elif n == 7 %}b{% elif yes %}c{% else %}d{% endif %}", "b"),
        ("{% if not no and n > 3 %}a{% endif %}{% if no || yes && n <= 7 %}b{% endif %}", "ab"),
        ("{% if no and no or yes %}a{% endif %}{% if 'a or b' != s %}b{% endif %}", "ab"),
        ("{% if 2 in l %}a{% endif %}{% if 9 not in l %}b{% endif %}{% if not 'x' in s %}c{% endif %}", "abc"),
        (
            "{% if missing == missing %}a{% endif %}{% if missing != 1 %}b{% endif %}{% if 1 in missing %}c{% endif %}",
            "b",
        ),
        # other tags
        ("{% with x = n & y=x|str %}{{ x }}{{ y }}{% endwith %}{{ x }}", "77"),
        ("{% for x in l %}{% cycle 'odd', 'even' %} {% endfor %}{% cycle n %}", "odd even odd "),
        ("{% trim %}  a {{ s }} \n{% endtrim %}", "a Hello, world!"),
        ("{% spaceless %} <b>  </b>\n<i> x</i> {% endspaceless %}", "<b></b><i> x</i>"),
        ("{% block a %}1{{ super() }}{% endblock %}{% block a %}2{% endblock %}", "22"),
        ("{% block a %}x{% block a %}y{% endblock %}{% endblock %}", "y"),
        ("{% if no %}{% include 'x' %}{% endif %}a{% extends 'x' %}", "a"),
    ],
)
def test_what_a_template_renders_to(source: str, text: str) -> None:
    assert ibis(source) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("missing|default('D')", "D"),
        ("zero|default('D')", "D"),
        ("zero|if_undefined('U')", "0"),
        ("missing|if_undefined('U')", "U"),
        ("missing|is_defined", "False"),
        ("ls|join(', ')", "a, b, c"),
        ("l|join", "123"),
        ("missing|join", ""),
        ("s|len", "13"),
        ("d|length", "3"),
        ("missing|len", "0"),
        ("s|upper|lower", "hello, world!"),
        ("'they\\'re bill\\'s friends'|title", "They're Bill's Friends"),
        ("ls|first", "a"),
        ("ls|last", "c"),
        ("ls|index(1)", "b"),
        ("d|index('b')", "two"),
        ("s|slice(0, 5)", "Hello"),
        ("l|slice(None, None, -1)", "[3, 2, 1]"),
        ("ls|reversed|join", "cba"),
        ("'<a href=\"x\">'|escape", "&lt;a href=&quot;x&quot;&gt;"),
        ("'\"'|e(False)", '"'),
        ("s|esc|repr", "'Hello, world!'"),
        ("d|str|len", "42"),
        ("d|pprint", "{'a': 1, 'b': 'two', 'c': {'x': [10, 20]}}"),
        ("s|truncatechars(8)", "Hello..."),
        ("s|truncatechars(8, '~')", "Hello~"),
        ("s|truncatechars(13)", "Hello, world!"),
        ("s|truncatewords(1)", "Hello, [...]"),
        ("'a  b c'|truncatewords(3)", "a b c"),
        ("'a b c'|truncatewords(-1, '!')", "a b!"),
        ("s|startswith('He')", "True"),
        ("s|endswith('x')", "False"),
        ("n|even", "False"),
        ("n|odd", "True"),
        ("n|divisible_by(7)", "True"),
        ("n|wrap('b')", "<b>7</b>"),
        ("html|spaceless", "<h1>Top</h1><p>One</p><p>two</p>"),
        ("html|striptags", "Top One\n two"),
        ("html|firsth", "Top"),
        ("html|firsth1", "Top"),
        ("html|firstp", "One"),
        ("'<h2>a</h3> <h3>b</h3>'|firsth", "b"),
        ("'<h2>a</h2>'|firsth1", ""),
        ("'<p>a\nb</p><p>c</p>'|firstp", "c"),
        ("'one<!-- more -->two'|teaser", "one"),
        ("s|teaser('x')", ""),
        ("'<b>'|pygmentize", "&lt;b&gt;"),
        ("'a', 'b'|len", "2"),
    ],
)
def test_filters(expression: str, text: str) -> None:
    assert ibis("{{ " + expression + " }}") == text


@pytest.mark.parametrize(
    ("source", "line", "wrong"),
    [
        ("a\n{{ s", 2, "no }}"),
        ("{# a", 1, "no #}"),
        ("a\n\n{% if %}{% endif %}", 3, "a value"),
        ("{% if s %}\n", 1, "no endif"),
        ("{% for x in l %}{% endif %}", 1, "'endif'"),
        ("{% endfor %}", 1, "'endfor'"),
        ("{% set a = 1 %}", 1, "'set'"),
        ("{% raw %}{% endraw %}", 1, "'raw'"),
        ("{% %}", 1, "empty"),
        ("{% else %}", 1, "'else'"),
        ("{% for in l %}{% endfor %}", 1, "'in'"),
        ("{% with a %}{% endwith %}", 1, "'='"),
        ("{% extends s %}", 1, "in quotes"),
        ("{% cycle %}", 1, "a value"),
        ("{{ }}", 1, "a value"),
        ("{{ row-schema }}", 1, "'-'"),
        ("{{ a[0] }}", 1, "'['"),
        ("{{ 1 + 2 }}", 1, "'+'"),
        ("{{ s|nosuch }}", 1, "'nosuch'"),
        ("{{ s|join(x) }}", 1, "a literal"),
        ("{{ s|upper(1) }}", 1, "0 to 0"),
        ("{{ 3|upper }}", 1, "upper"),
        ("{{ 'a }}", 1, "closing quote"),
        ("{{ '\\x4' }}", 1, "escape"),
        ("{{ a ?? b }}", 1, "'::'"),
        ("{{ s ~ n }}", 1, "~"),
    ],
)
def test_what_is_wrong_is_found_when_the_template_is_stored(source: str, line: int, wrong: str) -> None:
    with pytest.raises(InvalidRequest, match=f"line {line}: ") as caught:
        check(source, Dialect.IBIS, field="messages[0].source")
    assert wrong in caught.value.message
    assert caught.value.field == "messages[0].source"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("\n{{ n|upper }}", "line 2: The filter upper"),
        ("{{ missing|upper }}", "upper"),
        ("{{ missing|first }}", "first"),
        ("{{ missing() }}", "no function"),
        ("{{ s() }}", "no function"),
        ("{{ s.upper() }}", "no function"),
        ("{{ range('a') }}", "range"),
        ("{{ d.items(1) }}", "d.items"),
        ("{{ now }}", "The function now has no text"),
        ("{% if s < n %}{% endif %}", "< can't compare"),
        ("{% for a, b in l %}{% endfor %}", "a, b"),
        ("{% include 'x' %}", "loader"),
        ("{% extends 'x' %}", "loader"),
    ],
)
def test_what_fails_with_these_values(source: str, wrong: str) -> None:
    check(source, Dialect.IBIS)
    with pytest.raises(InvalidInput) as caught:
        ibis(source)
    assert wrong in caught.value.message


def test_time_and_chance_come_from_outside() -> None:
    moment = 1_700_000_000.5
    assert ibis("{{ now() }}", now=moment) == "2023-11-14 22:13:20.500000"
    assert ibis("{{ now()|dtformat }} {{ now()|dtformat('%d.%m.%y') }}", now=moment) == "2023-11-14 22:13 14.11.23"
    chosen = {ibis("{{ ls|random }}", seed=seed) for seed in range(50)}
    assert chosen == {"a", "b", "c"}
    assert ibis("{{ ls|random }}", seed=7) == ibis("{{ ls|random }}", seed=7)


def test_a_variable_wins_over_a_function() -> None:
    assert ibis("{{ now }}{{ range }}{{ context }}", {"now": 1, "range": 2, "context": 3}) == "123"


def test_filled_in_text_is_never_a_template() -> None:
    harm = "{{ s }}{% for x in l %}{# #}{$ s $}"
    assert ibis("{{ x }}|{{ x|upper }}", {"x": harm, "s": "?"}) == f"{harm}|{harm.upper()}"


def test_a_template_renders_the_same_each_time() -> None:
    template = "{% for x in l %}{% cycle 'a', 'b' %}{{ [3, 1]|reversed }}{% endfor %}"
    assert ibis(template) == ibis(template) == "a[1, 3]b[1, 3]a[1, 3]"


def test_its_variables() -> None:
    source = (
        "{{ a.b|default('x') }}{% for x, y in c.items() %}{{ x }}{{ loop.index }}{{ z }}{% endfor %}{{ y }}"
        "{% with p = q & r = p %}{{ r }}{% endwith %}{% if not s in t %}{% endif %}{{ now() }}{{ context.u }}{{ 'v' }}"
    )
    assert variables(source, Dialect.IBIS) == set("acqstuyz")
    assert Template("{{ a }}").variables == {"a"}
