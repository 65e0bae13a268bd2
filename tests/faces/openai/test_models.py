"""The list of models: what a key may use, names with a slash, and the other vendor's clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest

from tests.faces.openai.others import Place, run_place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with run_place(tmp_path) as one:
        yield one


async def test_all_of_them(place: Place) -> None:
    listed = await place.client().models.list()
    assert listed.object == "list"
    assert [(model.id, model.object, model.owned_by) for model in listed.data] == [
        ("demo", "model", "scripted"),
        ("org/big", "model", "scripted"),
    ]


@pytest.mark.parametrize("name", ["demo", "org/big"])
async def test_one(place: Place, name: str) -> None:
    found = await place.client().models.retrieve(name)
    assert (found.id, found.object, found.created) == (name, "model", 0)
    plain = await place.http.get(f"/v1/models/{name}")
    assert plain.json["id"] == name


async def test_one_that_is_not_there(place: Place) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await place.client().models.retrieve("gpt-none")
    assert missing.value.code == "model_not_found"


async def test_a_key_for_some_models_sees_no_others(place: Place) -> None:
    client = await place.of("bob", models=("org/*",))
    assert [model.id for model in (await client.models.list()).data] == ["org/big"]
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("demo")


async def test_a_key_without_the_permission(place: Place) -> None:
    client = await place.of("bob", permissions=frozenset({"prompt-svc:prompt:create"}))
    with pytest.raises(openai.PermissionDeniedError):
        await client.models.list()


async def test_the_other_vendors_client_asks_at_the_same_path(place: Place) -> None:
    client = anthropic.AsyncAnthropic(
        api_key=place.http.key, base_url=f"http://127.0.0.1:{place.server.port}", max_retries=0
    )
    async with client:
        page = await client.models.list()
        assert [(model.id, model.type, model.display_name) for model in page.data] == [
            ("demo", "model", "demo"),
            ("org/big", "model", "org/big"),
        ]
        assert (page.has_more, page.first_id, page.last_id) == (False, "demo", "org/big")
        one = await client.models.retrieve("demo")
        assert one.created_at.year == 1970
