"""Rules on endpoints: what they name, whom they shut out, what an access costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.rules import Access, RateLimit, Rule, applies, blocks, charge_of, network

LIMIT = RateLimit(requests=10, window=60.0, entity="user")


def rule(endpoint: str = "", limit: RateLimit | None = LIMIT) -> Rule:
    return Rule(id="r", endpoint=endpoint, created=0.0, updated=0.0, limit=limit)


@pytest.mark.parametrize(
    ("endpoint", "path", "template", "named"),
    [
        ("", "/anything", "", True),
        ("*", "/anything", "", True),
        ("/a", "/a", "", True),
        ("/a", "/a/b", "", False),
        ("/a/*", "/a/b/c", "", True),
        ("/a/*", "/a", "", False),
        ("/a/*/c", "/a/b/c", "", True),
        ("/a/*/c", "/a/b/d", "", False),
        ("*/c", "/a/c", "", True),
        ("/a*c*e", "/abcde", "", True),
        ("/a*c*e", "/ace", "", True),
        ("/a*c*e", "/aec", "", False),
        ("/a*a", "/a", "", False),
        ("/a?", "/ab", "", False),
        ("/[ab]", "/a", "", False),
        ("/a.c", "/abc", "", False),
        ("/a/{id}", "/a/5", "/a/{id}", True),
        ("/a/{id}", "/a/5", "", False),
        ("/a/{id}/*", "/a/5/x", "/a/{id}/{name}", True),
        ("/a/5", "/a/5", "/a/{id}", True),
    ],
)
def test_which_endpoints_a_rule_names(endpoint: str, path: str, template: str, named: bool) -> None:
    assert applies(rule(endpoint), Access(path, template=template)) is named


@given(st.lists(st.text(alphabet="ab/", max_size=4), min_size=1, max_size=5), st.text(alphabet="ab/", max_size=4))
def test_a_star_is_any_text(parts: list[str], text: str) -> None:
    assert applies(rule("*".join(parts)), Access(text.join(parts)))


def test_many_stars_are_not_slow() -> None:
    assert not applies(rule("*a" * 300 + "b"), Access("a" * 100_000))


@pytest.mark.parametrize(
    ("listed", "address", "blocked"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.5/8", "10.1.1.1", True),
        (" 10.0.0.1 ", "10.0.0.1", True),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::/32", "2001:db8::5", True),
        ("2001:db8::/32", "10.0.0.1", False),
        ("0.0.0.0/0", "rubbish", False),
        ("0.0.0.0/0", "", False),
    ],
)
def test_whom_a_list_shuts_out(listed: str, address: str, blocked: bool) -> None:
    assert blocks((network(listed),), address) is blocked


@pytest.mark.parametrize("text", ["", "nowhere", "10.0.0", "10.0.0.1/33", "1" * 100])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        network(text)


def test_what_an_access_costs() -> None:
    access = Access("/a/5", "GET", "10.0.0.1", "ann", "/a/{id}")
    charge = charge_of(rule(), access)
    assert charge is not None
    assert (charge.subject, charge.amount) == ("ann:/a/{id}", 1)
    assert (charge.policy.limit, charge.policy.window, charge.policy.metric) == (10, 60.0, "requests")
    plain = charge_of(rule(), Access("/a/5", user="ann"))
    assert plain is not None
    assert plain.subject == "ann:/a/5"


def test_scopes_and_entities() -> None:
    access = Access("/a", "GET", "10.0.0.1", "ann")
    everywhere = charge_of(rule(limit=RateLimit(requests=1, window=1.0, entity="address", scope="global")), access)
    assert everywhere is not None
    assert everywhere.subject == "10.0.0.1"
    assert charge_of(rule(limit=None), access) is None
    assert charge_of(rule(), Access("/a", address="10.0.0.1")) is None, "nobody is not limited"


def test_hearsay_and_other_numbers_are_counted_by_themselves() -> None:
    access = Access("/a", user="ann")
    names = {
        charge.policy.name
        for changed in (LIMIT, RateLimit(requests=11, window=60.0, entity="user"))
        for hearsay in (False, True)
        if (charge := charge_of(rule(limit=changed), access, hearsay=hearsay)) is not None
    }
    assert len(names) == 4


def test_a_window_has_an_end() -> None:
    charge = charge_of(rule(limit=RateLimit(requests=1, window=1e300, entity="user")), Access("/a", user="ann"))
    assert charge is not None
    assert charge.policy.window == 366 * 86400.0
