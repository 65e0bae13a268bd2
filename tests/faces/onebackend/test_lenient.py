"""Requests as clients really send them: tables, and any JSON against any request struct."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.faces.onebackend import chat, firehose, images, parameters, policies, prompts, query, user_forms
from promptd.faces.onebackend.lenient import fit


class Inner(Struct, rename="camel"):
    some_text: str = ""


class Every(Struct, rename="camel"):
    """A member of every kind that requests have."""

    a_text: str = ""
    a_flag: bool = False
    a_count: int = 0
    a_number: float = 0.0
    a_list: tuple[str, ...] = ()
    some_inner: tuple[Inner, ...] = ()
    an_inner: Inner | None = None
    an_object: dict[str, Any] | None = None
    anything: Any = None


class Needs(Struct, rename="camel"):
    the_name: str


#: Every struct that a handler of this face reads a body into.
REQUESTS: list[type[Struct]] = [
    parameters.PromptRequest,
    prompts.RemoveRequest,
    query.ListRequest,
    chat.SaveThread,
    chat.Ids,
    chat.ListMessages,
    chat.AddMessage,
    firehose.PostRequest,
    policies.SaveInstance,
    policies.CheckBody,
    user_forms.LoginRequest,
    user_forms.RegisterRequest,
    user_forms.ProfileRequest,
    user_forms.ExchangeRequest,
    user_forms.RevokeRequest,
    user_forms.PasswordRequest,
    user_forms.PermitsRequest,
    user_forms.PermitsQuery,
    user_forms.RolesQuery,
    user_forms.AppsQuery,
    user_forms.UsersQuery,
]


@pytest.mark.parametrize(
    ("member", "given_value", "read"),
    [
        ("aText", "x", "x"),
        ("aText", 42, "42"),
        ("aText", 7.5, "7.5"),
        ("aText", True, "true"),
        ("aText", '{"a":1}', '{"a":1}'),
        ("aText", None, ""),
        ("aFlag", "true", True),
        ("aFlag", "t", True),
        ("aFlag", 1, True),
        ("aFlag", "1", True),
        ("aFlag", "F", False),
        ("aFlag", 0, False),
        ("aFlag", "", False),
        ("aCount", "7", 7),
        ("aCount", "-7", -7),
        ("aCount", 7.0, 7),
        ("aCount", "1e3", 1000),
        ("aCount", 2**63 - 1, 2**63 - 1),
        ("aCount", str(-(2**63)), -(2**63)),
        ("aCount", None, 0),
        ("aNumber", "7.5", 7.5),
        ("aNumber", 7, 7.0),
        ("aList", ["a", 1, True], ("a", "1", "true")),
        ("aList", '["a", "b"]', ("a", "b")),
        ("aList", "a", ("a",)),
        ("aList", "", ()),
        ("aList", 5, ("5",)),
        ("aList", ["a", None], ("a",)),
        ("aList", '"quoted"', ("quoted",)),
        ("someInner", {"someText": "x"}, (Inner("x"),)),
        ("someInner", '[{"someText": 5}]', (Inner("5"),)),
        ("someInner", ['{"someText": "x"}', {"sometext": "y"}], (Inner("x"), Inner("y"))),
        ("anInner", '{"someText": "x"}', Inner("x")),
        ("anInner", "", Inner()),
        ("anInner", {}, Inner()),
        ("anInner", None, None),
        ("anObject", '{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("anObject", "", {}),
        ("anything", [1, {"x": None}], [1, {"x": None}]),
    ],
)
def test_values_of_other_types_are_understood(member: str, given_value: Any, read: Any) -> None:
    name = {"aText": "a_text", "aFlag": "a_flag", "aCount": "a_count", "aNumber": "a_number", "aList": "a_list"}.get(
        member, {"someInner": "some_inner", "anInner": "an_inner", "anObject": "an_object"}.get(member, member)
    )
    for spelling in (member, member.upper(), member.lower()):
        found = getattr(fit({spelling: given_value, "unknown": object}, Every), name)
        assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"aText": []}, "aText"),
        ({"aText": {}}, "aText"),
        ({"aFlag": "yes"}, "aFlag"),
        ({"aFlag": 2}, "aFlag"),
        ({"aFlag": []}, "aFlag"),
        ({"aFlag": 1.0}, "aFlag"),
        ({"aCount": "seven"}, "aCount"),
        ({"aCount": 1.5}, "aCount"),
        ({"aCount": True}, "aCount"),
        ({"aCount": 2**63}, "aCount"),
        ({"aCount": "9" * 5000}, "aCount"),
        ({"aCount": "nan"}, "aCount"),
        ({"aNumber": "inf"}, "aNumber"),
        ({"aNumber": []}, "aNumber"),
        ({"aList": [[]]}, "aList[0]"),
        ({"aList": "[1"}, "aList"),
        ({"someInner": [5]}, "someInner[0]"),
        ({"someInner": [{"someText": []}]}, "someInner[0].someText"),
        ({"anInner": {"SOMETEXT": {}}}, "anInner.SOMETEXT"),
        ({"anInner": "{"}, "anInner"),
        ({"anInner": '"{}"'}, "anInner"),
        ({"anObject": "[]"}, "anObject"),
        ({"anObject": 1}, "anObject"),
        ([], "body"),
        ("text", "body"),
        (5, "body"),
    ],
)
def test_what_does_not_fit_is_named(body: Any, named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        fit(body, Every)
    assert refused.value.field == named
    assert refused.value.expected


def test_a_member_that_must_be_there() -> None:
    assert fit({"THENAME": 5}, Needs) == Needs("5")
    for body in (None, {}, {"theName": None}):
        with pytest.raises(InvalidRequest) as refused:
            fit(body, Needs)
        assert refused.value.field == "theName"


def test_the_exact_spelling_wins_wherever_it_stands() -> None:
    assert fit({"aText": "right", "ATEXT": "wrong"}, Every).a_text == "right"
    assert fit({"ATEXT": "wrong", "aText": "right"}, Every).a_text == "right"
    assert fit({"ATEXT": "last", "atext": None}, Every).a_text == "last"


def test_nothing_at_all_gives_the_defaults() -> None:
    kinds: list[type[Struct]] = [*REQUESTS, Every]
    nothing: list[Any] = [None, {}, ""]
    for kind in kinds:
        for body in nothing:
            assert fit(body, kind) == kind()


def names_in(kind: Any, found: set[str]) -> set[str]:
    for field in msgspec.structs.fields(kind):
        found.add(field.encode_name)
        parts = [field.type, *getattr(field.type, "__args__", ())]
        for part in parts:
            if isinstance(part, type) and issubclass(part, Struct):
                names_in(part, found)
    return found


NAMES = sorted(set().union(*(names_in(kind, set()) for kind in REQUESTS)))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "7", "7.5", "true", "t", "[]", "{}", "[", "{", '"', "null", '["a"]', '{"id": 5}', "nan", "1e999"]
    ),
    st.text(max_size=20),
)


def tangle(names: list[str]) -> Any:
    return st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=5)), inner, max_size=4),
            inner.map(lambda value: msgspec.json.encode(value).decode()),  # JSON in a string, and that in a string …
        ),
        max_leaves=12,
    )


@given(body=tangle(NAMES), kind=st.sampled_from([*REQUESTS, Every]))
def test_any_json_is_a_request_or_a_refusal_that_names_a_member(body: Any, kind: type[Struct]) -> None:
    refused: InvalidRequest | None = None
    try:
        made = fit(body, kind)
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.field
        assert refused.expected
    else:
        msgspec.convert(msgspec.to_builtins(made), kind)  # every member has the type that the struct says


@given(
    st.builds(
        Every,
        a_text=st.text(),
        a_flag=st.booleans(),
        a_count=st.integers(-(2**63), 2**63 - 1),
        a_number=st.floats(allow_nan=False, allow_infinity=False),
        a_list=st.lists(st.text()).map(tuple),
        some_inner=st.lists(st.builds(Inner, st.text())).map(tuple),
        an_inner=st.builds(Inner, st.text()),
        an_object=st.dictionaries(st.text(), st.integers()),
    )
)
def test_a_well_formed_request_is_read_as_it_is(request_made: Every) -> None:
    plain = msgspec.json.decode(msgspec.json.encode(request_made))
    assert fit(plain, Every) == request_made
    as_text = {
        name: value if isinstance(value, str | bool) else msgspec.json.encode(value).decode()
        for name, value in plain.items()
        if name != "anything"
    }
    assert fit(as_text, Every) == request_made, "as the command line sends it"


def test_names_of_images_are_those_of_the_contract() -> None:
    assert len(images.Txt2Img.__struct_fields__) == 16 + 14 + 11 + 9 + 2 + 3
