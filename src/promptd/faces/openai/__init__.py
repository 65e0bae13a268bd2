"""The OpenAI face: chat, responses, completions, embeddings, images, sounds, files, batches, moderations under `/v1`."""

from __future__ import annotations

from starlette.routing import Route

from promptd.core.errors import PromptdError
from promptd.faces import FaceOptions, Mount
from promptd.faces.gateway import Gateway
from promptd.faces.limit_headers import Vendor
from promptd.faces.missing import Missing
from promptd.faces.openai import audio, batches, completions, embeddings, files, images, models, moderations, responses
from promptd.faces.openai.chat import chat_completions
from promptd.faces.openai.errors import error_response
from promptd.faces.openai.table import Table, mount
from promptd.faces.vendors import AnthropicShape, ByClient
from promptd.service.walk import Walk


class OpenAIShape:
    """How this vendor answers."""

    heartbeat = b": \n\n"
    request_id = "x-request-id"
    vendor: Vendor = "openai"

    def error(self, error: PromptdError, request_id: str) -> tuple[int, bytes]:
        return error_response(error)


def face(walk: Walk, options: FaceOptions) -> Mount:
    walk.batches.serve(batches.KINDS)
    table: Table = {
        ("POST", "/v1/chat/completions"): chat_completions,
        **responses.TABLE,
        **completions.ENDPOINTS,
        **embeddings.ENDPOINTS,
        **images.endpoints(walk.filed),
        **audio.endpoints(walk.filed),
        **files.endpoints(walk.filed, walk.batches),
        **batches.endpoints(walk.batches),
        **moderations.endpoints(walk.moderation),
    }
    gateway, other = Gateway(walk, options, OpenAIShape()), Gateway(walk, options, AnthropicShape())
    mounted = mount(gateway.endpoint, table)
    shared = mount(lambda handler: ByClient(gateway.endpoint(handler), other.endpoint(handler)), models.ENDPOINTS)
    public = images.open_endpoints(gateway, walk.filed)
    public_items = {(method, path.removesuffix("{id}")): app for (method, path), app in public.items()}
    served = [*table, *models.ENDPOINTS, *public]
    missing = ByClient(Missing(gateway, served), Missing(other, served))
    fallbacks = [Route(path, missing) for path in ("/v1/{rest:path}", "/completions")]
    return Mount(
        hot={**mounted.hot, **shared.hot},
        items={**mounted.items, **shared.items, **public_items},
        routes=[*mounted.routes, *shared.routes],
        fallbacks=fallbacks,
    )


__all__ = ["OpenAIShape", "face"]
