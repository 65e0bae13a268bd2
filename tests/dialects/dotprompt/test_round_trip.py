"""A draft that is written as a `.prompt` file is read as the same draft again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.metering import Fault
from promptd.core.template import Draft, MessageSource
from promptd.dialects.dotprompt import read_prompt_file, render_messages, write_prompt_file
from promptd.dialects.dotprompt.handlebars import compile_template
from promptd.dialects.dotprompt.splitting import join, split
from tests.dialects.dotprompt.drafts import drafts, pieces

pytestmark = pytest.mark.slow


def is_readable(source: str) -> bool:
    try:
        compile_template(source)
    except Fault:
        return False
    return True


def exactly(draft: Draft) -> bytes:
    return msgspec.json.encode(draft, order="deterministic")


readable = pieces.filter(is_readable)
messages = st.lists(
    st.builds(MessageSource, source=readable, role=st.sampled_from(("system", "user", "assistant"))), max_size=4
).map(tuple)


@settings(max_examples=25)
@given(drafts(prompt_file=True))
def test_what_is_written_is_read_again(draft: Draft) -> None:
    file, text = write_prompt_file("name.variant", draft)
    read = read_prompt_file(text, file=file)
    assert (read.name, read.draft) == ("name.variant", draft)
    assert exactly(read.draft) == exactly(draft), "5.0 is not 5, and 1 is not true"
    assert write_prompt_file(read.name, read.draft) == (file, text)


VALUES = {"a": "system", "b": ["x", "y"]}
PARTIALS = {"p": "in a partial\n"}


@settings(max_examples=120)
@given(readable)
def test_a_cut_changes_nothing_of_what_is_rendered(body: str) -> None:
    if body.strip():
        whole = render_messages([MessageSource(body)], VALUES, partials=PARTIALS)
        assert render_messages(split(body), VALUES, partials=PARTIALS) == whole


@settings(max_examples=120)
@given(messages)
def test_joined_messages_mean_the_same(parts: tuple[MessageSource, ...]) -> None:
    body = join(parts)
    if body is not None:
        assert split(body.strip()) == parts
        apart = render_messages(parts, VALUES, partials=PARTIALS)
        assert render_messages([MessageSource(body.strip())], VALUES, partials=PARTIALS) == apart


def test_most_messages_can_be_joined() -> None:
    """The way out, messages beside the template, is for the few that can't."""
    for source in (
        "a",
        "a\n",
        " a ",
        "{{a}}\n",
        "{{#if a}}\nx\n{{/if}}\n",
        "{{#if a}}x{{/if}}",
        "x\n{{> p}}\n",
        "{{! c }}\na",
    ):
        for other in ("b", "b\n", "\nb", "{{#each b}}\n{{this}}\n{{/each}}\n", "{{> p}}\n"):
            for role in ("system", "user"):
                parts = (MessageSource(source, role), MessageSource(other, "user"), MessageSource(source, "assistant"))
                assert join(parts) is not None, parts
