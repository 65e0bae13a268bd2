"""Behind the forms of connections: what a server that is not saved yet offers, and what does not go together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptd.core.connection_forms import LOAD_MODELS
from promptd.core.errors import PromptExecutionError
from promptd.core.forms import Draft, FormContext, FormPatch, check_patch, missing_required, public_patch, visible
from promptd.core.localisation import resolve
from promptd.egress import Egress
from promptd.engines.anthropic import Anthropic, AnthropicConfig
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig
from promptd.engines.openai import ChatCompletions, Gemini, GeminiConfig, OpenAI, OpenAIConfig
from promptd.engines.stable_diffusion import ImageQuery, StableDiffusion, StableDiffusionConfig
from promptd.testing import messages_server
from promptd.testing.image_server import ImageServer
from promptd.testing.messages_server import MessagesServer
from promptd.testing.upstream import Upstream


def draft(config: Any, http: Egress | None = None, query: Any = None) -> Draft[Any, Any]:
    return Draft(connection=config, query=query, http=http)


def openai(**settings: Any) -> OpenAIConfig:
    return OpenAIConfig.model_validate(settings)


@pytest.fixture
async def anthropic() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as server:
        yield server


async def test_the_models_of_an_unsaved_server_are_loaded(upstream: Upstream, http: Egress) -> None:
    engine = OpenAI()
    logic = engine.connection_form_logic()
    unsaved = draft(openai(base_url=upstream.base_url), http)
    patch = await logic.action(LOAD_MODELS, unsaved)
    assert patch is not None
    form = engine.connection_form(FormContext(type_id="openai"))
    assert check_patch(form, patch) == []
    shown = public_patch(patch, OpenAIConfig, engine.localizer(), "de")
    assert shown["options"]["models"][0]["value"] == "echo"
    assert shown["messages"] == [{"path": "", "message": "2 Modelle: echo, other", "level": "info"}]
    assert [option.value for option in await logic.options("models", unsaved, "OTH")] == ["other"]
    assert await logic.action("something else", unsaved) is None


async def test_the_models_of_anthropic_are_loaded(anthropic: MessagesServer) -> None:
    http = Egress([anthropic.base_url])
    made = AnthropicConfig.model_validate({"base_url": anthropic.base_url, "api_key": messages_server.KEY})
    logic = Anthropic().connection_form_logic()
    assert logic is not None
    patch = await logic.action(LOAD_MODELS, draft(made, http))
    assert patch is not None
    assert patch.options["models"]
    await http.close()


async def test_a_server_that_says_no_is_a_message(http: Egress) -> None:
    patch = await OpenAI().connection_form_logic().action(LOAD_MODELS, draft(openai(), http))
    assert patch is not None
    ((message,),) = [patch.messages]
    assert message.level == "error"
    assert "base_url" in str(message.message)


@pytest.mark.parametrize(
    ("settings", "values", "level"),
    [
        ({"profile": "groq"}, {}, "info"),
        ({"profile": "groq", "base_url": "https://api.openai.com/v1"}, {"base_url": ""}, "info"),
        ({"profile": "vllm"}, {}, "warning"),
        ({"profile": "azure", "base_url": "https://api.groq.com/openai/v1"}, {"base_url": ""}, "warning"),
    ],
)
async def test_another_service_is_another_address(settings: dict[str, Any], values: dict[str, Any], level: str) -> None:
    engine = OpenAI()
    made = openai(**settings)
    patch = await engine.connection_form_logic().on_change("profile", draft(made))
    assert isinstance(patch, FormPatch)
    assert check_patch(engine.connection_form(FormContext(type_id="openai")), patch) == []
    assert patch.values == values
    (message,) = patch.messages
    assert (message.path, message.level) == ("base_url", level)
    if level == "info":
        assert made.row.base_url in resolve(message.message, engine.localizer(), "en")


async def test_an_address_of_one_s_own_stays() -> None:
    logic = OpenAI().connection_form_logic()
    assert await logic.on_change("profile", draft(openai(profile="groq", base_url="http://10.0.0.1/v1"))) is None
    assert await logic.on_change("api", draft(openai())) is None


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"profile": "openai"}, []),
        ({"base_url": "http://127.0.0.1:1/v1"}, []),
        ({}, [("base_url", "error")]),
        ({"profile": "openai", "api": "responses", "responses_api": False}, [("api", "error")]),
        ({"profile": "openai", "api_key": "k", "headers": {"Authorization": "x"}}, [("headers", "warning")]),
    ],
)
async def test_what_does_not_go_together_is_said(settings: dict[str, Any], found: list[tuple[str, str]]) -> None:
    messages = await OpenAI().connection_form_logic().validate(draft(openai(**settings)))
    assert [(one.path, one.level) for one in messages] == found


def test_what_is_required_differs_by_type() -> None:
    empty = {"base_url": "", "api_key": "", "profile": "any"}
    context = FormContext(type_id="x")
    assert missing_required(OpenAI().connection_form(context), empty) == []
    assert missing_required(ChatCompletions().connection_form(context), empty) == ["base_url"]
    assert missing_required(Gemini().connection_form(context), empty) == ["api_key"]
    assert GeminiConfig().profile == "gemini"


def test_azure_s_version_is_shown_for_azure() -> None:
    form = OpenAI().connection_form(FormContext(type_id="openai"))
    assert "#/properties/api_version" not in visible(form, {"profile": "any"})
    assert "#/properties/api_version" in visible(form, {"profile": "azure"})


async def test_a_model_file_is_named_without_loading_it(http: Egress) -> None:
    engine = LlamaCpp("no_such_library")  # nothing could be loaded
    logic = engine.query_form_logic()
    assert logic is not None
    query = engine.query_config_class()()
    found = await logic.options("models", draft(LlamaCppConfig(), http, query), "")
    assert [option.value for option in found] == ["demo"]
    with pytest.raises(PromptExecutionError):
        await logic.options("models", draft(LlamaCppConfig(gguf="/no/such/file.gguf"), http, query), "")


async def test_an_image_server_names_checkpoints_and_samplers() -> None:
    async with ImageServer() as server:
        http = Egress([server.base_url])
        made = StableDiffusionConfig.model_validate({"base_url": server.base_url})
        logic = StableDiffusion().query_form_logic()
        asked = draft(made, http, ImageQuery())
        assert [option.value for option in await logic.options("models", asked, "sec")] == ["second"]
        assert [option.value for option in await logic.options("samplers", asked, "euler")] == ["Euler", "Euler a"]
        assert await logic.options("nothing", asked, "") == []
        await http.close()


async def test_a_drawing_within_bounds_is_asked_for() -> None:
    made = StableDiffusionConfig.model_validate({"base_url": "http://h", "max_pixels": 300_000, "max_steps": 5})
    query = ImageQuery(model="x", width=1024, count=17, steps=6, extra={"prompt": "x"})
    messages = await StableDiffusion().query_form_logic().validate(draft(made, query=query))
    assert {(one.path, one.level) for one in messages} == {
        ("width", "error"),
        ("count", "error"),
        ("steps", "error"),
        ("extra", "error"),
        ("model", "warning"),
    }
