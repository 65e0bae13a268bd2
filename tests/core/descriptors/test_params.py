"""Which lists of parameters make sense, how they are stored, and when they have changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from promptd.core.descriptors import (
    MISSING,
    Param,
    check_params,
    drift,
    fingerprint,
    params_from,
    params_from_json,
    to_json,
)
from promptd.core.errors import DescriptorFailed
from promptd.core.localisation import Key
from tests.core.descriptors.lists import lists

pytestmark = pytest.mark.slow


@given(lists())
def test_what_makes_sense_is_taken_and_stored(params: list[Param]) -> None:
    checked = check_params(params)
    assert list(checked) == params
    assert params_from_json(to_json(checked)) == checked


def test_a_default_of_null_is_stored_as_such() -> None:
    params = (Param("a", required=False, nullable=True, default=None), Param("b", title=Key("b.title", {"n": 1})))
    assert params_from_json(to_json(params)) == params
    assert params_from_json(to_json(params))[1].default is MISSING


def deep(levels: int) -> Param:
    param = Param("a")
    for _ in range(levels):
        param = Param("a", "object", properties=(param,))
    return param


def endless() -> Iterator[Param]:
    while True:
        yield Param("a")


def itself() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (None, "inputs"),
        ("text", "inputs"),
        ({"a": Param("a")}, "inputs"),
        ([{"name": "a"}], "inputs[0]"),
        (endless(), "inputs"),
        ([Param("a"), Param("a")], "inputs.a"),
        ([Param("a b")], "inputs[0].name"),
        ([Param("")], "inputs[0].name"),
        ([Param("a" * 65)], "inputs[0].name"),
        ([Param(5)], "inputs[0].name"),  # type: ignore[arg-type]
        ([Param("a", "text")], "inputs[0].kind"),  # type: ignore[arg-type]
        ([Param("a", default="x")], "inputs.a.default"),
        ([Param("a", required=False, default=5)], "inputs.a.default"),
        ([Param("a", required=False, default=None)], "inputs.a.default"),
        ([Param("a", required=False, default=object())], "inputs[0]"),
        ([Param("a", "number", required=False, default=float("nan"))], "inputs[0].default"),
        ([Param("a", "any", required=False, default=itself())], "inputs[0]"),
        ([Param("a", examples=(1,))], "inputs.a.examples[0]"),
        ([Param("a", "integer", enum=(1, "x"))], "inputs.a.enum[1]"),
        ([Param("a", pattern="(?=x)")], "inputs.a.pattern"),
        ([Param("a", pattern=r"(a)\1")], "inputs.a.pattern"),
        ([Param("a", pattern="((a{100}){100}){100}")], "inputs.a.pattern"),
        ([Param("a", format="zork")], "inputs.a.format"),
        ([Param("a", minimum=1)], "inputs.a.minimum"),
        ([Param("a", "integer", pattern="x")], "inputs.a.pattern"),
        ([Param("a", "integer", minimum=2, maximum=1)], "inputs.a.minimum"),
        ([Param("a", min_length=-1)], "inputs.a.min_length"),
        ([Param("a", media_types=("image/png",))], "inputs.a.media_types"),
        ([Param("a", "file", media_types=("png",))], "inputs.a.media_types[0]"),
        ([Param("a", "file", media_types=())], "inputs.a.media_types"),
        ([Param("a", "file", max_count=2)], "inputs.a.max_count"),
        ([Param("a", "file", required=False, default="x")], "inputs.a.default"),
        ([Param("a", properties=(Param("b"),))], "inputs.a.properties"),
        ([Param("a", "object", properties=(Param("b", "file"),))], "inputs.a.b"),
        ([Param("a", "array", items=Param("b", "file"))], "inputs.a.items"),
        ([Param("a", "object", properties=(Param("b"), Param("b")))], "inputs.a.b"),
        ([Param("a", "array", items=Param("b", required=False, default="x"))], "inputs.a.items.default"),
        ([deep(20)], "inputs" + 17 * ".a"),
        ([deep(5000)], "inputs[0]"),
        ([Param("a", schema={"type": "zork"})], "inputs.a.schema"),
        ([Param("a", schema={"$ref": "http://127.0.0.1/x"})], "inputs.a.schema.$ref"),
        ([Param("a", schema={"$ref": "#/$defs/no"})], "inputs.a.schema"),
        ([Param("a", schema={"$id": "x"})], "inputs.a.schema.$id"),
        ([Param("a", schema={"$schema": "http://json-schema.org/draft-07/schema#"})], "inputs.a.schema.$schema"),
        ([Param("a", schema={"pattern": r"(a)\1"})], "inputs.a.schema"),
        ([Param("a", schema={}, enum=("a",))], "inputs.a.enum"),
    ],
)
@pytest.mark.formcycle(27)
def test_what_makes_no_sense_is_told_with_its_path(params: object, field: str) -> None:
    with pytest.raises(DescriptorFailed) as raised:
        check_params(params)
    assert raised.value.field == field
    assert field in raised.value.message


def test_a_stored_list_that_can_t_be_read() -> None:
    with pytest.raises(DescriptorFailed, match=r"kind"):
        params_from_json(b'[{"name": "a", "kind": "text"}]')
    with pytest.raises(DescriptorFailed) as raised:
        params_from([{"name": "a", "requird": True}])
    assert raised.value.field == "inputs[0]"
    with pytest.raises(DescriptorFailed):
        params_from_json(b"[" * 100_000)


# ------------------------------------------------------------------ drift


@given(lists(), lists())
@pytest.mark.formcycle(26)
def test_a_list_drifts_exactly_when_its_fingerprint_changes(before: list[Param], after: list[Param]) -> None:
    assert (drift(before, after) == []) == (fingerprint(before) == fingerprint(after))
    assert drift(before, [*reversed(before)]) == []
    assert fingerprint(before) == fingerprint(params_from_json(to_json(tuple(before))))


@pytest.mark.formcycle(26)
def test_a_changed_placeholder_is_told() -> None:
    before, after = [Param("customer"), Param("text")], [Param("client"), Param("text")]
    assert fingerprint(before) != fingerprint(after)
    assert drift(before, after) == ["client is new and required", "customer is gone"]


def test_drift_tells_where() -> None:
    price = Param("price", "number", minimum=0)
    order = Param(
        "order", "object", properties=(Param("items", "array", items=Param("", "object", properties=(price,))),)
    )
    inner = replace(price, kind="integer", required=False)
    items = Param("items", "array", items=Param("", "object", properties=(inner,)))
    assert drift([order], [replace(order, properties=(items,))]) == [
        'order.items[].price: kind was "number", is "integer"',
        "order.items[].price: required was true, is false",
    ]


def test_texts_and_hints_are_no_drift() -> None:
    plain = Param("a")
    noted = Param("a", title="A", description="of it", examples=("x",), deprecated=True, widget="prompt", group="g")
    assert fingerprint([plain]) == fingerprint([noted])


def test_the_default_of_a_secret_is_not_told() -> None:
    before = Param("key", required=False, sensitive=True, default="hunter2")
    (told,) = drift([before], [replace(before, default="hunter3")])
    assert "hunter" not in told
