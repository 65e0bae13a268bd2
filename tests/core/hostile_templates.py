"""Templates and values that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from promptd.core.errors import InputTooLarge, InvalidInput, InvalidRequest, PromptdError
from promptd.core.rendering import Dialect

MIB = 1 << 20


class Hostile(NamedTuple):
    dialect: Dialect
    source: str | Callable[[], str]
    values: Callable[[], dict[str, Any]] = dict
    ends: type[PromptdError] | str | None = None
    """How it ends: an error, a text, or in any of the ways that are allowed."""
    partials: Callable[[], dict[str, str]] = dict


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def nested(opening: str, closing: str, levels: int = 10_000) -> str:
    return opening * levels + closing * levels


def doubled(levels: int = 40) -> str:
    return "".join(f"{{% set x{n + 1} = [x{n}, x{n}] %}}" for n in range(levels))


JINJA, IBIS, PLAIN = Dialect.MINIJINJA, Dialect.IBIS, Dialect.PLAIN


LONG = 10 * MIB


CASES: dict[str, Hostile] = {
    # attributes of Python objects
    "ibis class": Hostile(IBIS, "{{ x.__class__ }}", lambda: {"x": "a"}, ""),
    "ibis class of a list": Hostile(
        IBIS, "{{ x.__class__.__mro__.1.__subclasses__() }}", lambda: {"x": []}, InvalidInput
    ),
    "ibis globals": Hostile(IBIS, "{{ is_defined.__globals__ }}{{ range.__init__ }}{{ now.call }}", ends=""),
    "ibis context": Hostile(IBIS, "{{ context.data }}{{ context.stash }}{{ context.meter }}{{ stack }}", ends=""),
    "ibis context itself": Hostile(IBIS, "{{ context }}", ends=InvalidInput),
    "ibis block's super": Hostile(IBIS, "{% block a %}{{ super.call.__globals__ }}{% endblock %}", ends=""),
    "ibis method": Hostile(IBIS, "{{ x.format(1) }}", lambda: {"x": "{0.__class__}"}, InvalidInput),
    "ibis defined": Hostile(IBIS, "{{ is_defined('x.__class__') }}", lambda: {"x": 1}, "False"),
    "jinja class": Hostile(JINJA, "{{ x.__class__ }}", lambda: {"x": "a"}, InvalidInput),
    "jinja class by name": Hostile(JINJA, "{{ x['__class__']['__mro__'] }}", lambda: {"x": {}}, InvalidInput),
    "jinja map": Hostile(JINJA, "{{ [x]|map(attribute='__class__')|list }}", lambda: {"x": 1}, InvalidInput),
    "jinja sort": Hostile(JINJA, "{{ [x, x]|sort(attribute='__doc__') }}", lambda: {"x": 1}, InvalidInput),
    "jinja method": Hostile(JINJA, "{{ x.format(x) }}", lambda: {"x": "{0.__class__}"}, InvalidInput),
    "jinja range's globals": Hostile(JINJA, "{{ range.__init__.__globals__ }}", ends=InvalidInput),
    "plain attribute": Hostile(
        PLAIN, "{x.__class__}{x!r:>1000000000}", lambda: {"x": 1}, "{x.__class__}{x!r:>1000000000}"
    ),
    "an object as a value": Hostile(IBIS, "{{ x }}", lambda: {"x": object()}, InvalidInput),
    "a class as a value": Hostile(JINJA, "{{ x.mro() }}", lambda: {"x": int}, InvalidInput),
    "a subclass of str": Hostile(
        PLAIN, "{x}", lambda: {"x": type("S", (str,), {"__str__": lambda _: 1 / 0})()}, InvalidInput
    ),
    "an object in a list": Hostile(JINJA, "{{ x }}", lambda: {"x": [{"a": print}]}, InvalidInput),
    "a name that is no text": Hostile(IBIS, "{{ x }}", lambda: {"x": {1: 2}}, InvalidInput),
    # formats
    "ibis even of a format": Hostile(IBIS, "{{ '%1000000000d'|even }}", ends=InvalidInput),
    "ibis divisible_by of a format": Hostile(
        IBIS, "{{ x|divisible_by(1) }}", lambda: {"x": "%999999999d"}, InvalidInput
    ),
    "ibis moment with a width": Hostile(IBIS, "{{ now()|dtformat('%999999999d') }}", ends=InvalidInput),
    "ibis endless moment": Hostile(IBIS, lambda: "{{ now()|dtformat('" + "%Y" * 100_000 + "') }}", ends=InvalidInput),
    "jinja percent": Hostile(JINJA, "{{ '%1000000000d' % 1 }}", ends=InvalidInput),
    "jinja format": Hostile(JINJA, "{{ '%1000000000d'|format(1) }}", ends=InvalidInput),
    "jinja indent": Hostile(JINJA, "{{ 'a'|indent(1000000000) }}", ends=InvalidInput),
    "jinja indent of many lines": Hostile(JINJA, "{{ x|indent(1000) }}", lambda: {"x": "\n" * 50_000}, InvalidInput),
    "jinja tojson indent": Hostile(JINJA, "{{ x|tojson(indent=100000000) }}", lambda: {"x": [1]}, InvalidInput),
    # ranges and loops
    "ibis range": Hostile(IBIS, "{% for x in range(1000000000000) %}{% endfor %}", ends=InvalidInput),
    "ibis range beyond any size": Hostile(IBIS, "{{ range(" + "9" * 400 + ")|len }}", ends=InvalidInput),
    "ibis join of a range": Hostile(IBIS, "{{ range(1000000000000)|join(',') }}", ends=InvalidInput),
    "ibis reversed range": Hostile(IBIS, "{{ range(1000000000)|reversed }}", ends=InvalidInput),
    "ibis cycle of a range": Hostile(IBIS, "{% cycle range(1000000000) %}", ends=InvalidInput),
    "ibis number in a range": Hostile(IBIS, "{% if 1.5 in range(1000000000000) %}a{% endif %}", ends=""),
    "ibis loops in loops": Hostile(IBIS, nested("{% for x in range(1000) %}", "{% endfor %}", 6), ends=InvalidInput),
    "ibis quiet loops": Hostile(IBIS, "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
    "ibis text in loops": Hostile(
        IBIS, lambda: "{% for a in range(9999) %}" + "a" * 100_000 + "{% endfor %}", ends=InputTooLarge
    ),
    "ibis value in loops": Hostile(
        IBIS, "{% for a in range(9999) %}{{ x }}{% endfor %}", lambda: {"x": "a" * MIB}, InputTooLarge
    ),
    "ibis compared in loops": Hostile(
        IBIS,
        "{% for a in range(9999) %}{% if x == y %}{% endif %}{% endfor %}",
        lambda: {"x": "a" * 4 * MIB, "y": "".join(["a"] * 4 * MIB)},
        InvalidInput,
    ),
    "jinja range": Hostile(JINJA, "{% for x in range(1000000000000) %}{% endfor %}", ends=InvalidInput),
    "jinja range beyond any size": Hostile(JINJA, "{{ range(" + "9" * 400 + ") }}", ends=InvalidInput),
    "jinja list of a range": Hostile(JINJA, "{{ range(1000000000)|list }}", ends=InvalidInput),
    "jinja sum of a range": Hostile(JINJA, "{{ range(1000000000)|sum }}", ends=InvalidInput),
    "jinja max of a range": Hostile(JINJA, "{{ range(1000000000)|max }}", ends=InvalidInput),
    "jinja number in a range": Hostile(JINJA, "{{ 1.5 in range(1000000000000) }}", ends=InvalidInput),
    "jinja loops in loops": Hostile(JINJA, nested("{% for x in range(1000) %}", "{% endfor %}", 6), ends=InvalidInput),
    "jinja quiet loops": Hostile(
        JINJA, "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    ),
    "jinja filtered loop": Hostile(
        JINJA, "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}"
    ),
    "jinja text in loops": Hostile(
        JINJA, lambda: "{% for a in range(9999) %}" + "a" * 100_000 + "{% endfor %}", ends=InputTooLarge
    ),
    "jinja captured in loops": Hostile(
        JINJA,
        "{% set t %}{% for a in range(9999) %}{{ x }}{% endfor %}{% endset %}",
        lambda: {"x": "a" * MIB},
        InputTooLarge,
    ),
    # texts that grow
    "jinja product": Hostile(JINJA, "{{ 'a' * 1000000000 }}", ends=InvalidInput),
    "jinja product of a list": Hostile(JINJA, "{{ ['a'] * 1000000000 }}", ends=InvalidInput),
    "jinja doubling": Hostile(
        JINJA, lambda: "{% set x = 'aaaaaaaa' %}" + "{% set x = x ~ x %}" * 60 + "{{ x|length }}", ends=InvalidInput
    ),
    "jinja doubling by capture": Hostile(
        JINJA, lambda: "{% set x = 'aaaaaaaa' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60, ends=InvalidInput
    ),
    "jinja doubled lists": Hostile(JINJA, lambda: doubled() + "{{ x40 }}", lambda: {"x0": 1}, InvalidInput),
    "jinja doubled lists as JSON": Hostile(
        JINJA, lambda: doubled() + "{{ x40|tojson }}", lambda: {"x0": 1}, InvalidInput
    ),
    "jinja doubled lists compared": Hostile(
        JINJA, lambda: doubled() + "{{ x40 == x40 }}", lambda: {"x0": 1}, InvalidInput
    ),
    "jinja doubled lists sorted": Hostile(
        JINJA, lambda: doubled() + "{{ [x40, x40]|sort }}", lambda: {"x0": 1}, InvalidInput
    ),
    "jinja doubled lists, greatest": Hostile(
        JINJA, lambda: doubled() + "{{ [x40, x40]|max }}", lambda: {"x0": 1}, InvalidInput
    ),
    "jinja doubled lists, unique": Hostile(
        JINJA, lambda: doubled() + "{{ [x40, x40]|unique }}", lambda: {"x0": 1}, InvalidInput
    ),
    "jinja lists in lists": Hostile(
        JINJA, lambda: "{% set x = 1 %}" + "{% set x = [x] %}" * 1600 + "{{ x }}", ends=InvalidInput
    ),
    "jinja sum of lists": Hostile(JINJA, lambda: "{% set x = [1] %}" + "{% set x = x + x %}" * 60, ends=InvalidInput),
    "jinja replace": Hostile(
        JINJA, "{{ 'aaa'" + "|replace('a', x)" * 4 + " }}", lambda: {"x": "a" * 10_000}, InvalidInput
    ),
    "jinja replace of nothing": Hostile(JINJA, "{{ x|replace('', x) }}", lambda: {"x": "a" * 100_000}, InvalidInput),
    "jinja join": Hostile(JINJA, "{{ range(10000)|join(x)|length }}", lambda: {"x": "a" * 10_000}, InvalidInput),
    "jinja split": Hostile(JINJA, "{{ x|split|length }}", lambda: {"x": "a " * 4 * MIB}, InvalidInput),
    "jinja split by letter": Hostile(JINJA, "{{ x|split('a')|length }}", lambda: {"x": "a" * 8 * MIB}, InvalidInput),
    "jinja lines": Hostile(JINJA, "{{ x|lines|length }}", lambda: {"x": "\n" * 8 * MIB}, InvalidInput),
    "jinja batch": Hostile(JINJA, "{{ [1]|batch(1000000000, 0) }}", ends=InvalidInput),
    "jinja upper": Hostile(JINJA, "{{ x|upper|lower|title }}", lambda: {"x": "ΐ" * 2 * MIB}),
    "jinja escape": Hostile(JINJA, "{{ x|escape|escape }}", lambda: {"x": "'" * MIB}, InvalidInput),
    "jinja list of letters": Hostile(JINJA, "{{ x|list }}", lambda: {"x": "a" * 8 * MIB}, InvalidInput),
    "jinja slices": Hostile(
        JINJA, "{% for a in range(9999) %}{% set y = x[1:] %}{% endfor %}", lambda: {"x": "a" * MIB}, InvalidInput
    ),
    "ibis wrap": Hostile(
        IBIS, "{{ x" + ("|wrap('" + "b" * 1000 + "')") * 50 + " }}", lambda: {"x": "a" * MIB}, InvalidInput
    ),
    "ibis nested wrap": Hostile(
        IBIS,
        nested("{% with x = x|wrap('aaa')|join('abcdefghij') %}", "{% endwith %}", 40),
        lambda: {"x": "abc"},
        InvalidInput,
    ),
    "ibis join of letters": Hostile(
        IBIS, "{{ x|join('" + "a" * 1000 + "')|len }}", lambda: {"x": "a" * 90_000}, InvalidInput
    ),
    "ibis truncatechars": Hostile(IBIS, "{{ x|truncatechars(-1000000000000) }}", lambda: {"x": "a" * 100}, "..."),
    "ibis truncatechars by a text": Hostile(IBIS, "{{ x|truncatechars('a') }}", lambda: {"x": "abc"}, InvalidInput),
    "ibis truncatewords": Hostile(
        IBIS, "{{ x|truncatewords(1000000000000) }}", lambda: {"x": "a " * MIB}, InvalidInput
    ),
    "ibis slice": Hostile(IBIS, "{{ x|slice(-1000000000000, 1000000000000, 0) }}", lambda: {"x": "abc"}, InvalidInput),
    "ibis index": Hostile(IBIS, "{{ x|index(" + "9" * 4000 + ") }}", lambda: {"x": "abc"}, InvalidInput),
    "ibis pprint": Hostile(IBIS, "{{ x|pprint }}", lambda: {"x": [["a" * 30] * 100] * 100}, InvalidInput),
    "ibis pprint, deep": Hostile(IBIS, "{{ x|pprint }}", lambda: {"x": [deep(90)] * 5}),
    "ibis pprint in a loop": Hostile(
        IBIS, "{% for i in range(9999) %}{{ x|pprint }}{% endfor %}", lambda: {"x": [deep(90)] * 4}, InvalidInput
    ),
    "ibis title": Hostile(IBIS, "{{ x|title }}", lambda: {"x": "a " * 4 * MIB}, InvalidInput),
    "ibis escape": Hostile(IBIS, "{{ x|escape|escape }}", lambda: {"x": "'" * MIB}, InvalidInput),
    "ibis escaped print": Hostile(IBIS, "{$ x $}", lambda: {"x": "'" * 2 * MIB}, InvalidInput),
    "ibis trims in trims": Hostile(
        IBIS,
        nested("{% trim %}", "{% endtrim %}", 49).replace("%}{% e", "%}{{ x }}{% e", 1),
        lambda: {"x": "a" * 4 * MIB},
        InvalidInput,
    ),
    "ibis blocks in blocks": Hostile(
        IBIS,
        lambda: "".join(
            f"{{% block a{n} %}}" + f"{{% block a{n + 1} %}}{{% endblock %}}" * 2 + "{% endblock %}" for n in range(60)
        ),
        ends=InvalidInput,
    ),
    "control characters in a list": Hostile(IBIS, "{{ x }}", lambda: {"x": ["\U000e0001" * 2 * MIB]}, InvalidInput),
    "wide text": Hostile(
        JINJA, "{% for a in range(999) %}{{ x }}{% endfor %}", lambda: {"x": "\U0001f600" * 10_000}, InputTooLarge
    ),
    # nesting
    "ibis nested tags": Hostile(IBIS, nested("{% if 1 %}", "{% endif %}"), ends=InvalidRequest),
    "ibis open tags": Hostile(IBIS, nested("{% for x in y %}", ""), ends=InvalidRequest),
    "ibis nested literal": Hostile(IBIS, "{{ " + nested("[", "]", 50_000) + " }}", ends=InvalidRequest),
    "ibis nested brackets": Hostile(IBIS, "{{ " + nested("(", ")", 50_000) + " }}", ends=InvalidRequest),
    "ibis nested objects": Hostile(IBIS, "{{ " + "{1:" * 50_000 + " }}", ends=InvalidRequest),
    "ibis row of signs": Hostile(IBIS, "{{ " + "-" * 100_000 + "1 }}", ends=InvalidRequest),
    "ibis row of nots": Hostile(IBIS, "{% if " + "not " * 100_000 + "1 %}{% endif %}", ends=InvalidRequest),
    "ibis elifs": Hostile(IBIS, "{% if 0 %}" + "{% elif 0 %}" * 2900 + "{% endif %}", ends=""),
    "ibis long path": Hostile(IBIS, "{{ x" + ".a" * 400_000 + " }}", lambda: {"x": {}}, ""),
    "ibis work while reading": Hostile(
        IBIS, lambda: ("{{ 'ab'" + "|join('aaaaaaaaaa')" * 4 + " }}") * 2900, ends=InvalidRequest
    ),
    "ibis include": Hostile(
        IBIS, "{% include 'self' %}", partials=lambda: {"self": "{% include 'self' %}"}, ends=InvalidInput
    ),
    "ibis extends": Hostile(IBIS, "{% extends 'self' %}", ends=InvalidInput),
    "jinja nested tags": Hostile(JINJA, nested("{% if 1 %}", "{% endif %}"), ends=InvalidRequest),
    "jinja nested brackets": Hostile(JINJA, "{{ " + nested("(", ")", 50_000) + " }}", ends=InvalidRequest),
    "jinja nested lists": Hostile(JINJA, "{{ " + "[" * 100_000 + " }}", ends=InvalidRequest),
    "jinja row of nots": Hostile(JINJA, "{{ " + "not " * 9_900 + "1 }}", ends="True"),
    "jinja row of minuses": Hostile(JINJA, "{{ " + "-" * 9_900 + "1 }}", ends="1"),
    "jinja row of pluses": Hostile(JINJA, "{{ " + "1+" * 100_000 + "1 }}", ends=InvalidRequest),
    "jinja row of filters": Hostile(JINJA, "{{ x" + "|upper" * 100_000 + " }}", ends=InvalidRequest),
    "jinja long path": Hostile(JINJA, "{{ x" + ".a" * 100_000 + " }}", lambda: {"x": {}}, ends=InvalidRequest),
    "jinja row of ifs": Hostile(JINJA, "{{ " + "1 if 1 else " * 100_000 + "1 }}", ends=InvalidRequest),
    "jinja all at once": Hostile(
        JINJA,
        lambda: nested(
            "{% if " + nested("(", ")", 15).replace("()", "(x" + "|upper" * 50 + ")") + " %}", "{% endif %}", 20
        ),
        lambda: {"x": "a"},
    ),
    "jinja includes itself": Hostile(
        JINJA, "{% include 'a' %}", ends=InvalidInput, partials=lambda: {"a": "{% include 'a' %}"}
    ),
    "jinja includes grow": Hostile(
        JINJA,
        "{% include 'a' %}",
        ends=InvalidInput,
        partials=lambda: {"a": "{% include 'b' %}" * 50, "b": "{% include 'a' %}" * 50},
    ),
    "jinja includes deep partials": Hostile(
        JINJA,
        "{% include 'a' %}",
        ends=InvalidInput,
        partials=lambda: {"a": "{% if 1 %}" * 19 + "{% include 'a' %}" + "{% endif %}" * 19},
    ),
    "jinja includes much": Hostile(
        JINJA,
        lambda: "".join(f"{{% include 'p{n}' %}}" for n in range(50)),
        ends=InvalidInput,
        partials=lambda: {f"p{n}": "{{ x }}" * 2900 for n in range(50)},
    ),
    "deep data": Hostile(IBIS, "{{ x }}", lambda: {"x": deep(100_000)}, InvalidInput),
    "deep data, unused": Hostile(PLAIN, "a", lambda: {"x": deep(100_000)}, InvalidInput),
    "deep data in jinja": Hostile(JINJA, "{{ x|tojson }}", lambda: {"x": deep(100_000)}, InvalidInput),
    # size
    "50 MB in ibis": Hostile(IBIS, "{{ x }}", lambda: {"x": "a" * 50_000_000}, InputTooLarge),
    "50 MB in jinja": Hostile(JINJA, "{{ x }}", lambda: {"x": "a" * 50_000_000}, InputTooLarge),
    "50 MB in plain": Hostile(PLAIN, "{x}", lambda: {"x": "a" * 50_000_000}, InputTooLarge),
    "50 MB in a list": Hostile(IBIS, "{{ x }}", lambda: {"x": ["a" * 1000] * 50_000}, InputTooLarge),
    "millions of numbers": Hostile(JINJA, "{{ x }}", lambda: {"x": [1] * 5_000_000}, InputTooLarge),
    "as many numbers as fit": Hostile(JINJA, "{{ x|length }}", lambda: {"x": [1] * 250_000}, "250000"),
    "many small lists": Hostile(IBIS, "{{ x|len }}", lambda: {"x": [[] for _ in range(120_000)]}, "120000"),
    "output of values": Hostile(PLAIN, "{x}" * 3, lambda: {"x": "a" * 4 * MIB}, InputTooLarge),
    "many placeholders": Hostile(PLAIN, lambda: "{x}" * 300_000, lambda: {"x": "a"}, InvalidInput),
    "a large template": Hostile(IBIS, lambda: "a" * (MIB + 1), ends=InvalidRequest),
    "many tags in ibis": Hostile(IBIS, lambda: "{{x}}" * 200_000, ends=InvalidRequest),
    "many tags in jinja": Hostile(JINJA, lambda: "{{x}}" * 200_000, ends=InvalidRequest),
    "many words in ibis": Hostile(IBIS, lambda: "{{ [" + "1," * 500_000 + "] }}", ends=InvalidRequest),
    "many words in jinja": Hostile(JINJA, lambda: "{{ [" + "1," * 500_000 + "] }}", ends=InvalidRequest),
    "many filters in ibis": Hostile(IBIS, lambda: "{{ x" + "|e" * 4_900 + " }}", lambda: {"x": "'"}, InvalidInput),
    # numbers
    "ibis long number": Hostile(IBIS, "{{ " + "9" * 100_000 + " }}", ends=InvalidRequest),
    "ibis long hex number": Hostile(IBIS, "{{ 0x" + "f" * 100_000 + " }}", ends=InvalidRequest),
    "ibis long fraction": Hostile(IBIS, "{{ 0." + "9" * 100_000 + " }}", ends=InvalidRequest),
    "jinja long number": Hostile(JINJA, "{{ " + "9" * 100_000 + " }}", ends=InvalidRequest),
    "jinja power": Hostile(JINJA, "{{ 10**10**10 }}", ends=InvalidRequest),
    "jinja squares": Hostile(JINJA, lambda: "{% set x = 99999 %}" + "{% set x = x * x %}" * 60, ends=InvalidInput),
    "jinja number of a text": Hostile(JINJA, "{{ x|int(0) }}", lambda: {"x": "9" * 5_000_000}, InvalidInput),
    "jinja division by nothing": Hostile(JINJA, "{{ 1 / 0 }}{{ 1 // 0 }}{{ 1 % 0 }}", ends=InvalidInput),
    "ibis division by nothing": Hostile(IBIS, "{{ 1|divisible_by(0) }}", ends=InvalidRequest),
    "long number as a value": Hostile(IBIS, "{{ x }}", lambda: {"x": 10**100_000}, InvalidInput),
    "half a character": Hostile(PLAIN, "{x}", lambda: {"x": "\ud800"}, InvalidInput),
    "half a character, written": Hostile(IBIS, "{{ '\\ud800' }}", ends=InvalidRequest),
    "not a number": Hostile(JINJA, "{{ x|tojson }}{{ x|int }}", lambda: {"x": float("nan")}, InvalidInput),
    "jinja absurd round": Hostile(JINJA, "{{ 1.5|round(1000000000) }}", ends=InvalidInput),
    # patterns that could take for ever
    "ibis quotes": Hostile(IBIS, "{{ " + "'\\" * 250_000 + " }}", ends=InvalidRequest),
    "ibis escaped quotes": Hostile(IBIS, '{{ "' + '\\"' * 250_000 + " }}", ends=InvalidRequest),
    "ibis spaces": Hostile(IBIS, "{{ x" + " " * 900_000 + "y }}", ends=InvalidRequest),
    "ibis opening braces": Hostile(IBIS, "{{" * 500_000, ends=InvalidRequest),
    "ibis open comments": Hostile(IBIS, "{#" * 500_000, ends=InvalidRequest),
    "ibis escapes": Hostile(IBIS, "{{ '" + "\\N{" * 300_000 + "' }}", ends=InvalidRequest),
    "jinja quotes": Hostile(JINJA, "{{ " + "'\\" * 250_000 + " }}", ends=InvalidRequest),
    "jinja spaces": Hostile(JINJA, "{{ x" + " " * 900_000 + "y }}", ends=InvalidRequest),
    "jinja raws": Hostile(JINJA, "{% raw %}" + "{%" + " " * 900_000, ends=InvalidRequest),
    "jinja open raws": Hostile(JINJA, "{% raw %}" + "{% - endraw" * 90_000, ends=InvalidRequest),
    "jinja spaces before endraw": Hostile(JINJA, "{% raw %}" + "{% " + ("{%" + " " * 200) * 5000, ends=InvalidRequest),
    "jinja opening braces": Hostile(JINJA, "{{" * 500_000, ends=InvalidRequest),
    "plain braces": Hostile(PLAIN, "{" * 1_000_000, lambda: {"x": 1}, "{" * 1_000_000),
    "plain names": Hostile(PLAIN, "{" + "a" * 1_000_000, lambda: {"a": 1}, "{" + "a" * 1_000_000),
    "plain names in braces": Hostile(PLAIN, "{aaaaaaaaaaaaaaaaaaaa" * 40_000, ends="{aaaaaaaaaaaaaaaaaaaa" * 40_000),
    "ibis striptags": Hostile(IBIS, "{{ x|striptags|len }}", lambda: {"x": "<" * LONG}, str(LONG)),
    "ibis striptags, closed": Hostile(IBIS, "{{ x|striptags|len }}", lambda: {"x": "<>" * LONG}, InputTooLarge),
    "ibis striptags, many": Hostile(IBIS, "{{ x|striptags|len }}", lambda: {"x": "<>" * (LONG // 2)}, InvalidInput),
    "ibis spaceless": Hostile(IBIS, "{{ x|spaceless|len }}", lambda: {"x": "> " * (LONG // 2)}),
    "ibis firsth": Hostile(IBIS, "{{ x|firsth }}", lambda: {"x": "<h1" * MIB}, ""),
    "ibis firsth, digits": Hostile(IBIS, "{{ x|firsth }}", lambda: {"x": "<h" + "1" * LONG}, ""),
    "ibis firsth, many digits": Hostile(IBIS, "{{ x|firsth }}", lambda: {"x": ("<h" + "12" * 100 + ">") * 40_000}),
    "ibis firsth, open": Hostile(IBIS, "{{ x|firsth }}", lambda: {"x": "<h1>" * MIB}),
    "ibis firsth1": Hostile(IBIS, "{{ x|firsth1 }}", lambda: {"x": "<h1" * MIB}, ""),
    "ibis firstp": Hostile(IBIS, "{{ x|firstp }}", lambda: {"x": "<p>\n" * MIB + "</p>"}),
    "ibis teaser": Hostile(IBIS, "{{ x|teaser('" + "a" * 1000 + "b') }}", lambda: {"x": "a" * MIB}, ""),
    "ibis search": Hostile(
        IBIS, "{% if '" + "a" * 9999 + "b" + "a" * 9999 + "' in x %}{% endif %}", lambda: {"x": "a" * MIB}, ""
    ),
}
