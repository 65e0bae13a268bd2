"""The config service: items of any type, and prompts as views of the template library."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from msgspec import Struct

from promptd.core.chain import Action
from promptd.core.items import ConfigItem, item_id
from promptd.core.template import (
    PRODUCTION,
    Draft,
    MessageSource,
    Partial,
    Share,
    Template,
    TemplateVersion,
    version_id,
)
from promptd.dialects.trustgraph.prompts import SYSTEM_PARTIAL
from promptd.faces.trustgraph import configuration
from promptd.service import items
from tests.faces.trustgraph.conftest import ServeTrustGraph, TrustGraph

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def config(tg: TrustGraph, operation: str, **members: Any) -> Any:
    answer = await tg.http.post("/api/v1/config", {"operation": operation, **members})
    assert answer.status == 200, answer.body
    return answer.json


def item(kind: str, key: str, value: Any = None) -> dict[str, Any]:
    return {"type": kind, "key": key} | ({} if value is None else {"value": value})


async def value(tg: TrustGraph, kind: str, key: str) -> Any:
    (found,) = (await config(tg, "get", keys=[item(kind, key)]))["values"]
    assert (found["type"], found["key"]) == (kind, key)
    return found["value"]


async def test_items_are_kept_as_they_came(trustgraph: ServeTrustGraph) -> None:
    odd = 'not JSON \u2028 "\\'
    async with trustgraph() as tg:
        await config(tg, "put", values=[item("tool", "a", odd), item("tool", "b", ""), item("too", "la", "x")])
    async with trustgraph() as tg:  # after a restart
        got = await config(tg, "get", keys=[item("tool", "b"), item("tool", "none"), item("tool", "a")])
        assert got["values"] == [item("tool", "b", ""), item("tool", "none") | {"value": None}, item("tool", "a", odd)]
        assert (await config(tg, "list", type="tool"))["directory"] == ["a", "b"]
        assert (await config(tg, "list", type="none"))["directory"] == []
        assert (await config(tg, "getvalues", type="too"))["values"] == [item("too", "la", "x")]
        everywhere = await config(tg, "getvalues-all-ws", type="too")
        assert everywhere["values"] == [item("too", "la", "x") | {"workspace": "default"}]
        whole = await config(tg, "config")
        assert whole["config"]["tool"] == {"a": odd, "b": ""}


async def test_the_version_grows_with_every_change(tg: TrustGraph) -> None:
    versions = [(await config(tg, "list", type="a"))["version"]]
    for operation, members in (
        ("put", {"values": [item("a", "b", "c")]}),
        ("put", {"values": [item("prompt", "template.x", '{"prompt":"hello"}')]}),
        ("delete", {"keys": item("a", "b")}),  # some clients send one without the list
        ("delete", {"keys": [item("prompt", "template.x"), item("a", "gone already")]}),
    ):
        await config(tg, operation, **members)
        versions.append((await config(tg, "list", type="a"))["version"])
    assert versions == sorted(set(versions))
    assert await value(tg, "a", "b") is None
    assert await value(tg, "prompt", "template.x") is None


async def test_a_put_is_all_or_nothing(tg: TrustGraph) -> None:
    good, template = item("a", "b", "c"), item("prompt", "template.x", '{"prompt":"hello"}')
    for bad in (
        item("a", "", "c"),
        item("a", "c") | {"value": 5},
        item("prompt", "template.no name", "{}"),
        {"type": 5},
    ):
        answer = await tg.http.post("/api/v1/config", {"operation": "put", "values": [good, template, bad]})
        assert (answer.status, answer.json["error"]["type"]) == (200, "gateway-error")
    assert await value(tg, "a", "b") is None
    assert await value(tg, "prompt", "template.x") is None


async def test_a_put_is_one_transaction(tg: TrustGraph) -> None:
    """The disk refuses the last row: nothing of the others is there."""
    await config(tg, "put", values=[item("prompt", "template.old", '{"prompt":"old"}')])
    with closing(sqlite3.connect(tg.house.settings.home / "promptd.db")) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON record WHEN NEW.id LIKE 'last@%' BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    texts = ("system", '"Be brief."'), ("template.old", '{"prompt":"new"}'), ("template.last", '{"prompt":"hello"}')
    values = [item("a", "b", "c"), *(item("prompt", key, text) for key, text in texts)]
    answer = await tg.http.post("/api/v1/config", {"operation": "put", "values": values})
    assert answer.status == 200
    assert "error" in answer.json
    assert await value(tg, "a", "b") is None
    assert json.loads(await value(tg, "prompt", "system")) == "Be helpful."
    assert json.loads(await value(tg, "prompt", "template.old"))["prompt"] == "old"
    assert await value(tg, "prompt", "template.last") is None


async def test_a_guarded_template_is_left_alone_with_all_others(tg: TrustGraph) -> None:
    admin = await tg.house.walk.callers.authenticate(tg.admin.key)
    templates = tg.house.walk.templates
    await templates.save(admin, "x", Draft(messages=(MessageSource("old"),)), label=PRODUCTION)
    await templates.guard(admin, "x", [PRODUCTION])
    values = [item("prompt", f"template.{name}", '{"prompt":"new"}') for name in "ax"]
    answer = await tg.http.post("/api/v1/config", {"operation": "put", "values": values})
    assert "guarded" in answer.json["error"]["message"]
    assert (await templates.get("x")).latest == 1
    assert await value(tg, "prompt", "template.a") is None


async def test_puts_at_the_same_time_do_not_mix(tg: TrustGraph) -> None:
    names = "template.x", "template.y", "system"
    before = (await config(tg, "list", type="a"))["version"]

    async def put(tag: str) -> None:
        texts = [json.dumps({"prompt": tag} if "." in name else tag) for name in names]
        values = [item("prompt", name, text) for name, text in zip(names, texts, strict=True)]
        await config(tg, "put", values=[*values, item("tool", "t", tag)])

    async def delete() -> None:
        await config(tg, "delete", keys=[*(item("prompt", name) for name in names), item("tool", "t")])

    await asyncio.gather(*(put(f"tag {no}") for no in range(20)), *(delete() for _ in range(5)))
    await put("first")
    await asyncio.gather(*(put(f"tag {no}") for no in range(20)))
    found = [await value(tg, "prompt", name) for name in names]
    tags = {await value(tg, "tool", "t"), *(json.loads(found[no])["prompt"] for no in (0, 1)), json.loads(found[2])}
    assert len(tags) == 1
    assert (await config(tg, "list", type="a"))["version"] == before + 46


async def test_several_items_are_deleted_at_once(tg: TrustGraph) -> None:
    values = [
        item("prompt", "template.x", '{"prompt":"hello"}'),
        item("prompt", "template.y", '{"prompt":"hello"}'),
        item("prompt", "system", '"be brief"'),
        item("tool", "t", "one"),
        item("tool", "u", "two"),
    ]
    await config(tg, "put", values=values)
    await config(tg, "put", values=[item("prompt", "template.x", '{"prompt":"second"}')])
    rows: list[tuple[type[Struct], str]] = [
        (Template, "x"),
        (Template, "y"),
        (TemplateVersion, version_id("x", 1)),
        (TemplateVersion, version_id("x", 2)),
        (Partial, SYSTEM_PARTIAL),
        (ConfigItem, item_id("tool", "t")),
        (ConfigItem, item_id("tool", "u")),
    ]
    seen: set[int] = set()

    sql = f"select count(*) from record where (kind, id) in (values {', '.join(['(?, ?)'] * len(rows))})"

    async def look() -> None:
        """What stands on disk, again and again."""
        while 0 not in seen:
            seen.update(*db.execute(sql, [word for kind, name in rows for word in (kind.__name__, name)]))
            await asyncio.sleep(0)

    keys = [{"type": value["type"], "key": value["key"]} for value in values]
    with closing(sqlite3.connect(tg.house.database.path)) as db:
        async with asyncio.timeout(10):
            await asyncio.gather(look(), config(tg, "delete", keys=keys))
    assert seen == {len(rows), 0}


async def test_nothing_is_deleted_where_one_is_in_use(tg: TrustGraph) -> None:
    await config(tg, "put", values=[item("prompt", f"template.{name}", '{"prompt":"hello"}') for name in "xy"])
    admin = await tg.house.walk.callers.authenticate(tg.admin.key)
    await tg.house.walk.chains.save(admin, "c", actions=(Action("one", "y"),))
    keys = [item("prompt", f"template.{name}") for name in "xy"]
    answer = await tg.http.post("/api/v1/config", {"operation": "delete", "keys": keys})
    assert "is used by" in answer.json["error"]["message"]
    assert await value(tg, "prompt", "template.x") is not None


async def test_prompts_are_templates_of_the_library(tg: TrustGraph) -> None:
    text = '{ "id": "x",\n  "prompt": "Say {{ word }}", "response-type": "json", "schema": {"type": "object"}}'
    await config(tg, "put", values=[item("prompt", "template.x", text)])
    assert await value(tg, "prompt", "template.x") == text  # byte for byte
    version, _ = await tg.house.walk.templates.resolve("x")
    assert version.draft.messages[-1] == MessageSource("Say {{ word }}")
    assert (version.draft.output.kind, version.draft.output.schema) == ("json", {"type": "object"})
    assert version.draft.output.repair == 0
    assert version.user == "ada"


async def test_the_index_keeps_itself(tg: TrustGraph) -> None:
    templates = [item("prompt", f"template.{name}", '{"prompt":"hello"}') for name in ("b", "a")]
    await config(tg, "put", values=[item("prompt", "template-index", '["wrong"]'), *templates])
    assert json.loads(await value(tg, "prompt", "template-index")) == ["a", "b"]
    listed = (await config(tg, "list", type="prompt"))["directory"]
    assert listed == ["system", "template-index", "template.a", "template.b"]
    values = (await config(tg, "getvalues", type="prompt"))["values"]
    assert [entry["key"] for entry in values] == listed
    assert set((await config(tg, "config"))["config"]["prompt"]) == set(listed)
    await config(tg, "delete", keys=[item("prompt", "template.a")])
    assert json.loads(await value(tg, "prompt", "template-index")) == ["b"]


async def test_there_is_always_a_system_prompt(tg: TrustGraph) -> None:
    assert json.loads(await value(tg, "prompt", "system")) == "Be helpful."
    await config(tg, "put", values=[item("prompt", "system", '"Be brief."')])
    assert json.loads(await value(tg, "prompt", "system")) == "Be brief."


async def test_broken_templates_are_kept_and_harm_no_other(tg: TrustGraph) -> None:
    broken = {
        "one": "{",
        "two": "[]",
        "three": "{}",
        "four": '{"prompt":"x","response-type":"xml"}',
        "five": '{"prompt":"x","schema":5}',
    }
    values = [item("prompt", f"template.{name}", text) for name, text in broken.items()]
    await config(tg, "put", values=[*values, item("prompt", "template.good", '{"prompt":"hello"}')])
    for name, text in broken.items():
        assert await value(tg, "prompt", f"template.{name}") == text
        version, _ = await tg.house.walk.templates.resolve(name)
        assert version.draft.fault
    assert not (await tg.house.walk.templates.resolve("good"))[0].draft.fault


async def test_what_was_put_runs_even_where_a_label_says_what_runs(tg: TrustGraph) -> None:
    admin = await tg.house.walk.callers.authenticate(tg.admin.key)
    templates = tg.house.walk.templates
    await templates.save(admin, "x", Draft(messages=(MessageSource("old"),)))
    await templates.move(admin, "x", PRODUCTION, (Share(1),))
    assert json.loads(await value(tg, "prompt", "template.x"))["prompt"] == "old"
    await config(tg, "put", values=[item("prompt", "template.x", '{"prompt":"new"}')])
    assert json.loads(await value(tg, "prompt", "template.x"))["prompt"] == "new"


async def test_the_socket_takes_the_same_requests(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.send({"id": "1", "service": "config", "request": {"operation": "list", "type": "prompt"}})
        told = await line.receive()
    assert told == {"id": "1", "response": {"version": 0, "directory": ["system", "template-index"]}, "complete": True}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "gateway-error"),
        (b"{}", 400, "gateway-error"),
        (b'{"operation":5}', 200, "bad-operation"),
        (b'{"operation":"sing"}', 200, "bad-operation"),
        (b'{"operation":"get"}', 200, "gateway-error"),
        (b'{"operation":"get","keys":[1]}', 200, "gateway-error"),
        (b'{"operation":"list"}', 200, "gateway-error"),
        (b"[]", 200, "gateway-error"),
    ],
)
async def test_bad_requests(tg: TrustGraph, body: bytes, status: int, kind: str) -> None:
    answer = await tg.http.post("/api/v1/config", raw=body)
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)


async def test_one_request_holds_a_thousand_names_at_most(tg: TrustGraph) -> None:
    answer = await tg.http.post("/api/v1/config", {"operation": "get", "keys": [item("a", "b")] * 1001})
    assert answer.json["error"]["type"] == "gateway-error"


async def test_items_have_a_bound_in_number_and_size(tg: TrustGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MOST_ITEMS", 2)
    monkeypatch.setattr(items, "MOST_CHARACTERS", 10)

    async def put(**values: str) -> bool:
        body = {"operation": "put", "values": [item("a", key, text) for key, text in values.items()]}
        return "error" not in (await tg.http.post("/api/v1/config", body)).json

    assert await put(one="12345", two="12345")
    assert not await put(three="")
    assert not await put(one="123456")
    assert await put(one="1", two="123456789")
    await config(tg, "delete", keys=[item("a", "two"), item("a", "gone already")])
    assert await put(three="123456789")


async def test_a_reply_has_a_bound(tg: TrustGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_MOST_CHARACTERS", 50)
    text = json.dumps({"prompt": "x" * 20})
    await config(tg, "put", values=[item("prompt", f"template.{name}", text) for name in "ab"])
    one = item("prompt", "template.a")
    assert len((await config(tg, "get", keys=[one]))["values"]) == 1
    assert (await config(tg, "get", keys=[one, one]))["error"]["type"] == "gateway-error"
    assert (await config(tg, "config"))["error"]["type"] == "gateway-error"


async def test_changes_need_the_permission(tg: TrustGraph) -> None:
    client = await tg.client("bob")
    put = {"operation": "put", "values": [item("a", "b", "c")]}
    delete = {"operation": "delete", "keys": [item("prompt", "template.x")]}
    for body in (put, delete):
        answer = await client.post("/api/v1/config", body)
        assert (answer.status, answer.json["error"]["type"]) == (403, "access-denied")
    assert (await client.post("/api/v1/config", {"operation": "list", "type": "a"})).status == 200
