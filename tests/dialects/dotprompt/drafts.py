"""Generated drafts, for properties of the file forms."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET

from promptd.core.content import Tool
from promptd.core.descriptors.param import Param
from promptd.core.localisation import Key
from promptd.core.model import Output
from promptd.core.parameters import ImageParameters, Parameters
from promptd.core.rendering import Dialect
from promptd.core.template import Assertion, Case, Draft, MessageSource

#: any text that UTF-8 can hold
texts = st.text(st.characters(codec="utf-8"), max_size=20)
#: texts that YAML or the template language may stumble over
tricky = st.text(st.sampled_from("ab1 \n\t:#-'\"|>{}[],&*!%@.~\r\x85\u2028\ufeff\\e"), max_size=20)
words = texts | tricky
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
objects = st.dictionaries(words, values, max_size=3)
#: pieces of templates that can be read, put together at will
pieces = st.lists(
    st.sampled_from(
        (
            *("text", " ", "\n", "  \n", "\n\n", "é", "{{a}}", "{{~b~}}", "{{! c }}", "{{!-- {{a}} --}}", "{{> p}}"),
            *("{{#if a}}\nx\n{{else}}\n y \n{{/if}}", "{{#each b}}{{this}}{{/each}}", "{{#if a}}", "{{/if}}"),
            *('{{role "user"}}', '{{role "system"~}}', '{{role "model" x=1}}', "{{role a}}", "{{history}}", "\\{{a}}"),
            *('{{section "s"}}', "{{media url=a}}", "---\n", "\n---\n", "# a\n", "\\", "{{! end }}", "{", "}"),
        )
    ),
    max_size=6,
).map("".join)


def params(depth: int = 0) -> st.SearchStrategy[Param]:
    inner: dict[str, Any] = {}
    if depth < 2:
        inner["properties"] = st.lists(st.deferred(lambda: params(depth + 1)), max_size=2).map(tuple)
        inner["items"] = st.none() | st.deferred(lambda: params(depth + 1))
    return st.builds(
        Param,
        name=names,
        kind=st.sampled_from(("string", "integer", "number", "boolean", "object", "array", "any", "file")),
        required=st.booleans(),
        title=words,
        description=words | st.builds(Key, key=names, args=objects),
        examples=st.lists(values, max_size=2).map(tuple),
        default=st.just(UNSET) | values,
        nullable=st.booleans(),
        sensitive=st.booleans(),
        enum=st.lists(values, max_size=2).map(tuple),
        minimum=st.none() | st.integers(-5, 5) | st.floats(-5, 5),
        min_length=st.none() | st.integers(0, 5),
        schema=st.none() | objects,
        multiline=st.booleans(),
        **inner,
    )


def plain_params() -> st.SearchStrategy[Param]:
    """Those that JSON Schema says all of."""
    kind = st.sampled_from(("string", "integer", "number", "boolean", "any", "array"))
    return st.builds(Param, name=names, kind=kind, required=st.booleans(), description=words)


parameters = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(1, 9),
    stop=st.lists(words, max_size=2).map(tuple),
    json_schema=st.none() | objects,
    grammar=st.none() | words,
    tools=st.lists(
        st.builds(
            Tool,
            name=names,
            description=words,
            parameters=objects | st.just({"type": "object", "properties": {}}),
            strict=st.none() | st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    image=st.none() | st.builds(ImageParameters, width=st.integers(1, 9), extra=objects),
    extra=objects | st.dictionaries(st.sampled_from(("topK", "top_k", "mirostat")), values, max_size=2),
    top_k=st.none() | st.integers(1, 9),
    json_object=st.booleans(),
)
outputs = st.builds(
    Output,
    kind=st.sampled_from(("text", "json", "jsonl")),
    schema=st.none() | objects | st.just({"type": "object", "properties": {"a": {"type": "string"}}}),
    repair=st.integers(0, 2),
)
cases = st.builds(
    Case,
    name=words,
    inputs=objects,
    assertions=st.lists(
        st.builds(Assertion, kind=st.sampled_from(("equals", "contains", "schema")), value=values, path=words),
        max_size=2,
    ).map(tuple),
)
metadata = objects | st.fixed_dictionaries(
    {}, optional={"dotprompt": objects | st.just({"x-team": "a", "maker.tool.key": [1], "version": "2"}), "own": values}
)


def drafts(*, prompt_file: bool = False) -> st.SearchStrategy[Draft]:
    """Any draft; with `prompt_file` those that a `.prompt` file can say."""
    roles = ["system", "developer", "user", "assistant"]
    return st.builds(
        Draft,
        messages=st.lists(
            st.builds(
                MessageSource,
                source=pieces if prompt_file else pieces | words,
                role=st.sampled_from(roles if prompt_file else [*roles, "tool"]),
                partial=st.just("") | st.just("") | names,
            ),
            max_size=3,
        ).map(tuple),
        dialect=st.just(Dialect.HANDLEBARS) if prompt_file else st.sampled_from(Dialect),
        model=st.none() | words,
        parameters=parameters,
        connection=st.none() if prompt_file else st.none() | names,
        inputs=st.none()
        | st.lists(plain_params(), max_size=3, unique_by=lambda param: param.name).map(tuple)
        | st.lists(params(), max_size=2, unique_by=lambda param: param.name).map(tuple),
        terms=objects,
        output=outputs,
        description=words,
        callable=st.booleans(),
        cases=st.lists(cases, max_size=2).map(tuple),
        metadata=metadata,
        source=st.just("") | words,
        fault=st.just("") | words,
    )
