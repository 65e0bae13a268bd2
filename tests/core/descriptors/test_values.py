"""Values against their parameters, both ways."""

from __future__ import annotations

import time
import tracemalloc
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.descriptors import Checker, Param, check_params, check_value, input_schema, output_schema, sample
from promptd.core.errors import InputTooLarge, InvalidInput, InvalidOutput
from promptd.core.output import validator
from tests.core.descriptors.lists import JSON, changed, lists

pytestmark = pytest.mark.slow

ORDER = check_params(
    [
        Param(
            "order",
            "object",
            properties=(
                Param("items", "array", items=Param("", "object", properties=(Param("price", "number", minimum=0),))),
                Param("note", required=False),
            ),
        ),
        Param("count", "integer", required=False, default=3),
        Param("day", required=False, format="date"),
        Param("extra", "any", required=False, nullable=True),
    ]
)
GOOD: dict[str, Any] = {"order": {"items": [{"price": 1}]}}


def priced(*prices: Any) -> dict[str, Any]:
    return {"order": {"items": [{"price": price} for price in prices]}}


def accepted(params: list[Param], value: Any, direction: Literal["input", "output"]) -> bool:
    try:
        check_value(params, value, direction=direction)
    except (InvalidInput, InvalidOutput):
        return False
    return True


@given(st.data(), lists(files=False))
@pytest.mark.formcycle(34)
def test_inputs_are_taken_exactly_when_their_schema_takes_them(data: st.DataObject, params: list[Param]) -> None:
    value = data.draw(JSON | changed(sample(params).value))
    assert accepted(params, value, "input") == validator(input_schema(params), formats=True).is_valid(value)


@given(st.data(), lists(files=False))
@pytest.mark.formcycle(36)
def test_outputs_too_but_for_those_that_nobody_declared(data: st.DataObject, params: list[Param]) -> None:
    value = data.draw(changed(sample(params, direction="output").value))
    declared = {param.name for param in params}
    kept = {name: inner for name, inner in value.items() if name in declared} if isinstance(value, dict) else value
    assert accepted(params, value, "output") == validator(output_schema(params), formats=True).is_valid(kept)


@given(st.data(), lists(files=False))
def test_what_was_checked_is_taken_again_and_not_changed_any_more(data: st.DataObject, params: list[Param]) -> None:
    value = data.draw(changed(sample(params).value))
    if accepted(params, value, "input"):
        once = check_value(params, value).value
        assert check_value(params, once).value == once


@pytest.mark.formcycle(35)
def test_defaults_are_filled_in_and_absent_inputs_stay_absent() -> None:
    assert check_value(ORDER, GOOD).value == GOOD | {"count": 3}
    assert check_value(ORDER, GOOD | {"count": None, "day": None}).value == GOOD | {"count": 3}
    assert check_value(ORDER, GOOD | {"extra": None}).value == GOOD | {"count": 3, "extra": None}


def test_nothing_empty_counts_as_absent() -> None:
    params = [Param("t"), Param("n", "integer"), Param("b", "boolean"), Param("l", "array")]
    value = {"t": "", "n": 0, "b": False, "l": []}
    assert check_value(params, value).value == value


def test_defaults_inside_an_object() -> None:
    inner = (Param("a", required=False, default="x"), Param("b", "any", required=False, default=[1]))
    params = check_params([Param("o", "object", properties=inner, additional=True)])
    first = check_value(params, {"o": {"c": 1}}).value
    assert first == {"o": {"a": "x", "b": [1], "c": 1}}
    first["o"]["b"].append(2)
    assert check_value(params, {"o": {}}).value["o"]["b"] == [1]  # a default is nobody's to change


def test_outputs_have_no_defaults() -> None:
    assert check_value(ORDER, GOOD, direction="output").value == GOOD


def test_a_whole_float_is_an_integer() -> None:
    count = check_value(ORDER, GOOD | {"count": 5.0}).value["count"]
    assert (count, type(count)) == (5, int)


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ({}, "order", "a value, which is required"),
        ({"order": None}, "order", "an object"),
        (5, "input", "an object with a value for each name"),
        (GOOD | {"zz": 1}, "zz", 'one of "count", "day", "extra", "order" as the name'),
        (GOOD | {"count": "5"}, "count", "an integer or null"),
        (GOOD | {"count": True}, "count", "an integer or null"),
        (GOOD | {"count": 5.5}, "count", "an integer or null"),
        (GOOD | {"day": "2023-02-29"}, "day", "text of the format `date`"),
        (priced(1, 2, "3"), "order.items[2].price", "a number"),
        (priced(1, 2, -3), "order.items[2].price", "a number of at least 0"),
        (priced(1, None), "order.items[1].price", "a number"),
        (priced(float("nan")), "order.items[0].price", "a finite number"),
        (GOOD | {"extra": [{"a": float("-inf")}]}, "extra[0].a", "a finite number"),
        (GOOD | {"extra": [{1: 2}]}, "extra[0]", "an object whose names are text"),
        (GOOD | {"extra": {"a": {3, 4}}}, "extra.a", "a JSON value"),
        (GOOD | {"extra": ("a",)}, "extra", "a JSON value"),
        (GOOD | {"extra": "\ud800"}, "extra", "text that UTF-8 can hold"),
        ({"order": {"items": [{"price": 1, "tax": 2}]}}, "order.items[0].tax", "no member of this name"),
        ({"order": {"items": [{}]}}, "order.items[0].price", "a value, which is required"),
        ({"order": {"items": {}}}, "order.items", "an array"),
    ],
)
@pytest.mark.formcycle(29, 33, 34)
def test_errors_name_the_path_and_what_fits(value: Any, field: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_value(ORDER, value)
    assert (raised.value.field, raised.value.expected) == (field, expected)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "order"),
        ({"order": None}, "order"),
        (GOOD | {"count": "5"}, "count"),
        (GOOD | {"extra": {"secret": [float("inf")]}}, "extra.*[0]"),
        ({"order": {"items": [{"price": 1, "secret": 2}]}}, "order.items[0].*"),
        ([], "output"),
    ],
)
def test_errors_of_outputs_don_t_quote_them(value: Any, field: str) -> None:
    with pytest.raises(InvalidOutput) as raised:
        check_value(ORDER, value, direction="output")
    assert raised.value.field == field
    assert "secret" not in raised.value.message


@pytest.mark.formcycle(36)
def test_an_undeclared_output_is_left_out_with_a_warning() -> None:
    checked = check_value(ORDER, GOOD | {"zz": {1, 2}} | {f"x{n}": n for n in range(100)}, direction="output")
    assert checked.value == GOOD
    assert checked.warnings[0] == "the output 'zz' is not declared and was left out"
    assert len(checked.warnings) == 21


class Colour(StrEnum):
    RED = "red"


def test_a_subclass_of_text_is_text() -> None:
    assert check_value([Param("c", enum=("red",))], {"c": Colour.RED}).value == {"c": "red"}


def test_a_schema_of_its_own() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "additionalProperties": {"$ref": "#/$defs/t"}}}}
    for required in (True, False):
        checker = Checker(check_params([Param("tree", required=required, schema=tree)]))
        assert checker.check({"tree": {"a": {"b": {}}}}).value == {"tree": {"a": {"b": {}}}}
        with pytest.raises(InvalidInput) as raised:
            checker.check({"tree": {"a": {"b": 1}}})
        assert (raised.value.field, raised.value.expected) == ("tree.a.b", "an object")


def test_null_in_a_schema_of_its_own() -> None:
    either = {"type": ["string", "null"]}
    with pytest.raises(InvalidInput):
        check_value([Param("a", schema=either)], {"a": None})
    assert check_value([Param("a", schema=either, nullable=True)], {"a": None}).value == {"a": None}
    assert check_value([Param("a", schema=either, required=False)], {"a": None}).value == {}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def wide() -> list[Any]:
    """Ten times itself at each level."""
    value: Any = "x"
    for _ in range(30):
        value = [value] * 10
    return [value]


TOO_MUCH = [nested(101), nested(100_000), wide(), "x" * (17 * 1024 * 1024), [0] * 2_000_000]


@pytest.mark.parametrize("value", TOO_MUCH)
def test_depth_and_size_are_bounded(value: Any) -> None:
    params = [Param("a", "any")]
    begin = time.perf_counter()
    with pytest.raises(InputTooLarge):
        check_value(params, {"a": value})
    with pytest.raises(InvalidOutput):
        check_value(params, {"a": value}, direction="output")
    assert time.perf_counter() - begin < 2  # far from the 10 to the 30 values of `wide`, on a machine that others load


@pytest.mark.parametrize("value", TOO_MUCH)
def test_looking_at_too_much_takes_little_memory(value: Any) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputTooLarge):
            check_value([Param("a", "any")], {"a": value})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 1024 * 1024


def test_depth_up_to_the_bound() -> None:
    assert check_value([Param("a", "any")], {"a": nested(99)}).value == {"a": nested(99)}


def test_a_ring_is_no_hang() -> None:
    ring: list[Any] = []
    ring += [ring, ring]
    with pytest.raises(InputTooLarge):
        check_value([Param("a", "any")], {"a": ring})


def test_a_hostile_pattern_and_text_take_linear_time() -> None:
    checker = Checker(check_params([Param("a", pattern="^(a+)+$")]))
    begin = time.perf_counter()
    with pytest.raises(InvalidInput):
        checker.check({"a": "a" * 100_000 + "!"})
    assert time.perf_counter() - begin < 1
