"""What can't be sent in a header is refused when settings are read, by its path; at run time it is the operator's fault."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from promptd.core.engine import Config
from promptd.core.errors import ConfigIncomplete, ConfigUnusable, PromptdError
from promptd.core.ports import AUTHORITY
from promptd.dialects import chat
from promptd.dialects.messages import kind_of
from promptd.engines.anthropic import AnthropicConfig
from promptd.engines.bedrock.config import BedrockConfig
from promptd.engines.endpoint.config import EndpointTarget
from promptd.engines.http_target.config import HttpTargetConfig
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.services import GeminiConfig
from promptd.engines.stable_diffusion.config import StableDiffusionConfig
from promptd.faces.openai.errors import error_response
from promptd.guards.remote import RemoteConfig

_FIELDS = [
    (OpenAIConfig, "api_key"),
    (OpenAIConfig, "organization"),
    (GeminiConfig, "api_key"),
    (AnthropicConfig, "api_key"),
    (AnthropicConfig, "auth_token"),
    (BedrockConfig, "api_key"),
    (BedrockConfig, "session_token"),
    (HttpTargetConfig, "token"),
    (HttpTargetConfig, "key"),
    (RemoteConfig, "key"),
]
_HEADERS = [
    OpenAIConfig,
    AnthropicConfig,
    BedrockConfig,
    StableDiffusionConfig,
    HttpTargetConfig,
    EndpointTarget,
    RemoteConfig,
]
_UNSENDABLE = ["s3cret\n", "s3cret\r\nx-admin: 1", "s3cret\x00", "s3cret\u20ac", "s3cret\x7f"]


@pytest.mark.parametrize(("kind", "field"), _FIELDS)
@pytest.mark.parametrize("value", _UNSENDABLE)
def test_keys(kind: type[Config], field: str, value: str) -> None:
    with pytest.raises(ValidationError, match="no line breaks") as refused:
        kind.model_validate({field: value})
    (told,) = refused.value.errors()
    assert told["loc"] == (field,)
    assert "s3cret" not in told["msg"]
    kind.model_validate({field: "s3cret ü"})


@pytest.mark.parametrize("kind", _HEADERS)
def test_further_headers(kind: type[Config]) -> None:
    for value in _UNSENDABLE:
        with pytest.raises(ValidationError, match="'x-one' has others") as refused:
            kind.model_validate({"headers": {"x-one": value}})
        assert "s3cret" not in refused.value.errors()[0]["msg"]
    with pytest.raises(ValidationError, match="names of headers"):
        kind.model_validate({"headers": {"x one": "a"}})
    kind.model_validate({"headers": {"x-one": "a\tb"}})


def test_the_host_that_an_arch_file_names_is_one_of_them() -> None:
    OpenAIConfig.model_validate({"headers": {AUTHORITY: "models.example"}})


@pytest.mark.parametrize("error", [ConfigUnusable("headers.x: no"), ConfigIncomplete("api_key: no")])
def test_a_client_is_told_that_it_is_not_its_fault(error: PromptdError) -> None:
    status, body = error_response(error)
    assert status == 500
    assert b'"type":"server_error"' in body
    assert b'"param":null' in body
    assert chat.error_object(error)["type"] == "server_error"
    assert kind_of(error) == (500, "api_error")
