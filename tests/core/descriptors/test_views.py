"""What a reader, a client and a form are told of the same list must be the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.descriptors import (
    Field,
    Labels,
    Param,
    check_params,
    check_value,
    input_schema,
    output_schema,
    params_from_schema,
    reference_html,
    reference_markdown,
    rows,
    sample,
    screen,
)
from promptd.core.descriptors.subschemas import subschemas
from promptd.core.errors import DescriptorFailed
from promptd.core.localisation import Key
from promptd.core.output import check_schema, validator
from promptd.core.prompt_files import PromptFile
from tests.core.descriptors.lists import changed, lists

pytestmark = pytest.mark.slow

NULLABLE = "null"


def told_by_schema(params: Sequence[Param]) -> dict[str, tuple[frozenset[str], bool]]:
    """Types and required mark of every path, as a client reads them from the JSON Schema."""
    schema = input_schema(params)
    return dict(_schema_paths(schema, schema, ""))


def _schema_paths(
    one: dict[str, Any], root: dict[str, Any], above: str
) -> Iterator[tuple[str, tuple[frozenset[str], bool]]]:
    for name, inner in one.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        yield from _schema_path(inner, root, path, name in one.get("required", []))


def _schema_path(
    one: dict[str, Any], root: dict[str, Any], path: str, required: bool
) -> Iterator[tuple[str, tuple[frozenset[str], bool]]]:
    said = one.get("type", [])
    types = frozenset([said] if isinstance(said, str) else said) - {NULLABLE}
    yield path, (types if len(types) == 1 else frozenset(["any"]), required)
    yield from _schema_paths(one, root, path)
    if "items" in one:
        item = one["items"]
        null = item.get("type") is None or NULLABLE in item["type"]
        yield from _schema_path(item, root, f"{path}[]", not null)


def told_by_screen(fields: Sequence[Field]) -> Iterator[tuple[str, tuple[frozenset[str], bool]]]:
    for field in fields:
        yield field.path, (frozenset([field.kind]), field.required)
        yield from told_by_screen(field.fields)
        if field.row is not None:
            yield from told_by_screen([field.row])


def told_by_reference(params: Sequence[Param]) -> dict[str, tuple[frozenset[str], bool]]:
    return {row.path: (frozenset([row.type.split(" ")[0]]), row.required) for row in rows(params)}


@given(lists(schemas=False))
@pytest.mark.formcycle(28)
def test_screen_page_and_schema_agree(params: list[Param]) -> None:
    check_params(params)
    schema = told_by_schema(params)
    page = told_by_reference(params)
    form = dict(told_by_screen(screen(params)))
    files = {param.name: param for param in params if param.kind == "file"}
    assert {path: said for path, said in form.items() if path not in files} == schema
    assert {path: said for path, said in page.items() if path not in files} == schema
    for name, param in files.items():
        (field,) = (field for field in screen(params) if field.name == name)
        (row,) = (row for row in rows(params) if row.path == name)
        assert row.type == ("files" if param.multiple else "file")
        assert field.multiple == param.multiple
        assert row.required == field.required == param.required
        named = frozenset() if "*/*" in param.media_types else frozenset(param.media_types)
        assert frozenset(field.accept) == named
        assert frozenset(row.files.split(" or ")) == (named or {"any"})
        assert name not in input_schema(params)["properties"]
    html, markdown = reference_html(params, []), reference_markdown(params, [])
    for path in page:
        assert f"<code>{path}</code>" in html
        assert f"| `{path}` |" in markdown


@pytest.mark.parametrize(
    ("schema", "kind"),
    [({"type": "integer"}, "integer"), ({"type": ["null", "array"]}, "array"), ({"enum": [1]}, "any")],
)
def test_the_type_of_a_schema_of_its_own(schema: dict[str, Any], kind: str) -> None:
    params = check_params([Param("a", schema=schema)])
    assert screen(params)[0].kind == rows(params)[0].type == kind


@given(lists())
def test_the_schema_is_one_and_the_sample_fits_it(params: list[Param]) -> None:
    for direction, schema in (("input", input_schema(params)), ("output", output_schema(params))):
        check_schema(schema, "schema")
        validator(schema, formats=True).validate(sample(params, direction=direction).value)  # type: ignore[arg-type]


def test_a_sample_with_files_is_taken() -> None:
    params = [Param("text"), Param("picture", "file", media_types=("image/*",)), Param("any", "file")]
    shown = sample(params)
    assert {name: file[0].filename for name, file in shown.files.items()} == {
        "picture": "picture.png",
        "any": "any.bin",
    }
    data = {"picture": b"\x89PNG\r\n\x1a\n", "any": b"x"}
    files = {
        name: [PromptFile.from_bytes(file.filename, data[name], file.media_type) for file in listed]
        for name, listed in shown.files.items()
    }
    assert check_value(params, shown.value, files).value == {"text": "text"}


def test_a_sample_prefers_examples() -> None:
    params = [
        Param("a", examples=("Ada",)),
        Param("b", "integer", required=False, default=7),
        Param("c", enum=("x", "y")),
    ]
    assert sample(params).value == {"a": "Ada", "b": 7, "c": "x"}


def test_a_sample_of_a_schema_that_holds_itself_ends() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"left": {"$ref": "#/$defs/t"}}}}}
    assert "left" in sample([Param("tree", schema=tree)]).value["tree"]


# ------------------------------------------------------------------ secrets and texts


def test_of_a_secret_nothing_is_shown() -> None:
    params = check_params(
        [
            Param("key", required=False, sensitive=True, default="hunter2", examples=("hunter3",)),
            Param("file", "file", sensitive=True, examples=("hunter4.txt",)),
        ]
    )
    everything = (
        input_schema(params),
        output_schema(params),
        screen(params),
        sample(params),
        reference_html(params, params),
        reference_markdown(params, params),
    )
    assert "hunter" not in repr(everything)
    assert input_schema(params)["properties"]["key"]["writeOnly"] is True
    assert "writeOnly" not in output_schema(params)["properties"]["key"]
    assert screen(params)[0].widget == "secret"


def german(text: str | Key) -> str:
    return text if isinstance(text, str) else {"a.title": "Kunde", "a.help": "Wer fragt"}[text.key]


def test_texts_are_told_in_the_reader_s_language() -> None:
    params = [Param("a", title=Key("a.title"), description=Key("a.help"), examples=("Ada",))]
    assert input_schema(params, german)["properties"]["a"]["title"] == "Kunde"
    (field,) = screen(params, german)
    assert (field.label, field.help, field.placeholder) == ("Kunde", "Wer fragt", "Ada")
    page = reference_markdown(params, [], resolve=german, labels=Labels(required="Pflicht", none="Keine."))
    assert "| Name | Type | Pflicht |" in page
    assert "Kunde: Wer fragt" in page
    assert "Keine." in page


def test_widgets_by_kind() -> None:
    params = [
        Param("t"),
        Param("m", multiline=True),
        Param("e", enum=("a",)),
        Param("b", "boolean"),
        Param("n", "number"),
        Param("o", "object", properties=(Param("i"),)),
        Param("l", "array", items=Param("")),
        Param("x", "any"),
        Param("s", schema={}),
        Param("f", "file", media_types=("image/*",)),
        Param("w", widget="prompt"),
    ]
    fields = {field.name: field for field in screen(params)}
    widgets = ["text", "textarea", "select", "switch", "number", "fieldset", "rows", "json", "json", "file", "prompt"]
    assert [field.widget for field in fields.values()] == widgets
    assert fields["t"].sources == ("literal", "template", "reference")
    assert fields["f"].sources == ("literal", "reference")
    assert fields["o"].fields[0].sources == ("literal",)
    assert (fields["f"].accept, fields["f"].help) == (("image/*",), "image/*")


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not attrs

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "<script>alert(1)</script> \"x\" 'y' & | [a](javascript:b) ![c](d) `e` \\ \n# f\r\n*g* _h_ ~~i~~"


def test_no_text_is_markup_in_html() -> None:
    params = [Param("a", title=HOSTILE, description=HOSTILE, examples=(HOSTILE,), enum=(HOSTILE,))]
    page = Page()
    page.feed(reference_html(params, params, title=HOSTILE, description=HOSTILE, labels=Labels(name=HOSTILE)))
    assert page.tags == {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.text.count("<script>alert(1)</script>") == 2 + 2 + 2 * 4


def test_no_text_is_markup_in_markdown() -> None:
    params = [Param("a", title=HOSTILE, description=HOSTILE, examples=(HOSTILE,))]
    page = reference_markdown(params, [], title=HOSTILE)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]|(`+)(?!`).*?(?<!`)\1(?!`)", "", page)
    assert not re.search(r"[<>*`\[\]~\\]", bare)
    for line in page.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 7


@given(st.text(alphabet="`| a\\", max_size=12))
def test_a_code_span_holds_any_example(text: str) -> None:
    page = reference_markdown([Param("a", examples=(text,))], [])
    (line,) = [line for line in page.splitlines() if line.startswith("| `a`")]
    cell = re.split(r"(?<!\\) \| |(?<!\\)\| ", line)
    words = " ".join(text.split())
    if words:
        assert words.replace("|", "\\|") in line
    assert cell


# ------------------------------------------------------------------ from a schema


@given(st.data(), lists(files=False))
def test_a_schema_read_back_takes_the_same_values(data: st.DataObject, params: list[Param]) -> None:
    schema = input_schema(params)
    if any("$ref" in part for part in subschemas(schema)):
        return  # references lead into other parameters here, and can't be moved
    again = params_from_schema(schema)
    assert [param.name for param in again] == [param.name for param in params]
    value = data.draw(changed(sample(params).value))
    fits = validator(schema, formats=True).is_valid(value)
    assert validator(input_schema(again), formats=True).is_valid(value) == fits


def test_parameters_from_a_schema() -> None:
    schema = {
        "type": "object",
        "$defs": {"tag": {"type": "string", "minLength": 2}},
        "properties": {
            "name": {"type": "string", "title": "Name", "maxLength": 9, "examples": ["Ada"]},
            "age": {"type": ["integer", "null"], "minimum": 0},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 3},
            "size": {"enum": ["s", "l"], "type": "string", "default": "s"},
            "odd": {"type": "integer", "not": {"multipleOf": 2}},
            "free": {"type": "object"},
            "secret": {"type": "string", "writeOnly": True},
            "rest": True,
        },
        "required": ["name"],
    }
    params = {param.name: param for param in params_from_schema(schema)}
    assert params["name"] == Param("name", title="Name", max_length=9, examples=("Ada",))
    assert params["age"] == Param("age", "integer", required=False, nullable=True, minimum=0)
    assert params["size"] == Param("size", required=False, enum=("s", "l"), default="s")
    assert params["odd"].schema == {"type": "integer", "not": {"multipleOf": 2}}
    assert params["free"] == Param("free", "object", required=False, additional=True)
    assert params["secret"].sensitive
    assert check_value(list(params.values()), {"name": "x", "tags": ["ab"]}).value == {
        "name": "x",
        "tags": ["ab"],
        "size": "s",
    }
    with pytest.raises(Exception, match=r"tags\[0\]"):
        check_value(list(params.values()), {"name": "x", "tags": ["a"]})


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        (None, "inputs"),
        ({"type": "array"}, "inputs"),
        ({"properties": {"a": {}}, "anyOf": []}, "inputs.anyOf"),
        ({"properties": []}, "inputs.properties"),
        ({"properties": {"a": {}}, "required": ["b"]}, "inputs.required"),
        ({"properties": {"object-entity": {}}}, "inputs[0].name"),
        ({"properties": {"a": {"type": "zork"}}}, "inputs.a.schema"),
        ({"properties": {"a": {"type": "string", "minLength": "x"}}}, "inputs[0].min_length"),
        ({"properties": {"a": {"allOf": [{"$ref": "#/properties/b"}]}, "b": {}}}, "inputs.a.$ref"),
        ({"properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"]}, "inputs.a.default"),
    ],
)
def test_schemas_that_can_t_be_read(schema: object, field: str) -> None:
    with pytest.raises(DescriptorFailed) as raised:
        params_from_schema(schema)
    assert raised.value.field == field
