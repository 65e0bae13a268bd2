"""`Bedrock`: prompts in, chunks out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from promptd.core.calls import CheckLine
from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.connection_forms import connection_layout, text_key
from promptd.core.engine import Call, ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import InvalidInput, PermissionDenied, ResourceNotFound
from promptd.core.forms import Form, FormContext, make_form
from promptd.core.localisation import Key
from promptd.core.model import Capability, Chunk
from promptd.core.ports import HttpClient
from promptd.dialects import converse
from promptd.engines.bedrock.config import BedrockConfig, Entry

_NOBODY: Final = "promptd-connection-test"
#: what the service says where it knows the key: of a model that is not there, and of one that this key may not ask
_KNOWS: Final = ("ValidationException", "ResourceNotFoundException", "AccessDeniedException")

_LAYOUT: Final = connection_layout(
    ("region", "api_key", "access_key_id", "secret_access_key"),
    models=False,
    advanced=("session_token", "guardrail", "guardrail_version", "passthrough", "headers"),
    compatibility=("base_url", "streams", "schemas", "hosted_tools"),
    limits=("connect_timeout", "first_byte_timeout", "silence_timeout", "max_response_bytes"),
)


class Bedrock(ChatQueries[BedrockConfig]):
    """Answers are streamed from the service, so that a stalled or cancelled one is noticed at once, except where the
    settings say that a model can't."""

    type_id = "bedrock"
    display_name_key = "bedrock.name"
    display_description_key = "bedrock.description"
    capabilities = frozenset({Capability.CHAT, Capability.VISION, Capability.DOCUMENT})

    def run(self, call: Call[BedrockConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        config = call.connection
        _open_door(config, call.http)
        return converse.run_call(
            config.url(call.model, stream=config.streams),
            Entry(config, call.credential),
            call,
            timeouts=config.timeouts,
            max_bytes=config.max_response_bytes,
            manners=config.manners,
        )

    async def test_connection(self, params: ConnectionTestParams[BedrockConfig]) -> ConnectionTestResult:
        """The service lists no models here: what it says of a model that is not there shows whether it knows the key."""
        config = params.connection
        _open_door(config, params.http)
        url, entry, body = config.url(_NOBODY, stream=False), Entry(config), b"{}"
        text, reached = Key(text_key("no_models")), CheckLine(True, Key(text_key("reached")))
        headers = entry.headers(url, body)
        async with params.http.request("POST", url, headers=headers, body=body, timeouts=config.timeouts) as response:
            try:
                await converse.raise_for_status(response, secrets=entry.secrets)
            except (InvalidInput, ResourceNotFound, PermissionDenied) as error:
                if not response.headers.get(converse.KIND, "").startswith(_KNOWS):
                    raise  # something else stands at this address, or in front of it
                checks = (reached, CheckLine(not isinstance(error, PermissionDenied), error.message))
                return ConnectionTestResult(ok=True, message=text, checks=checks)
        return ConnectionTestResult(ok=True, message=text, checks=(reached,))

    def connection_form(self, context: FormContext) -> Form:
        return make_form(BedrockConfig, _LAYOUT)


def _open_door(config: BedrockConfig, http: HttpClient) -> None:
    """The region's address need not stand in the settings a second time, wherever a network of one's own leads it."""
    if not config.base_url:
        http.allow(config.address)
