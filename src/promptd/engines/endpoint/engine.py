"""`Endpoint`: one call of a developer's API for a conversation, at the addresses of its connection and nowhere else.

Whatever status it answers with is a result: what that means to the conversation is the conversation's business.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from promptd.core.calls import Call, ConnectionTestParams, ConnectionTestResult, NoConfig, Result
from promptd.core.engine import Engine
from promptd.core.errors import InvalidInput, NetworkError, PromptExecutionError, Timeout, UnsupportedInput
from promptd.core.localisation import Key
from promptd.core.model import Capability
from promptd.core.ports import ALONE, AUTHORITY
from promptd.dialects.exchange import media_type, raise_for_status
from promptd.engines.endpoint.config import EndpointConfig, EndpointTarget
from promptd.engines.endpoint.request import build

EndpointCall = Call[EndpointConfig, NoConfig]

_AGAIN: Final = frozenset({502, 503, 504})  # the API did not do it, or nobody knows, and a GET may be sent again
_PAUSE: Final = 0.05  # seconds before the first retry; twice as much before each further one


class Endpoint(Engine[EndpointConfig, NoConfig]):
    """`Call.value`: `target`, and `arguments` or a whole `body`; `more` goes into the body of a POST beside the arguments,
    and `headers` (trace context, request id) under those of the target. The result's value: `status`, `body`, `media_type`
    and the `path` that was asked."""

    type_id = "endpoint"
    display_name_key = "endpoint.name"
    display_description_key = "endpoint.description"
    capabilities = frozenset({Capability.QUERY})

    def __init__(self) -> None:
        self._turns: dict[str, int] = defaultdict(int)  # by connection: whose turn it is among its addresses

    async def execute(self, call: EndpointCall) -> Result:
        config = call.connection
        target = config.target(call.value.get("target"))
        if call.capability is not Capability.QUERY or target is None or not config.addresses:
            raise UnsupportedInput("this API is asked by conversations only, for one of its targets")
        path, body = _request(target, call.value)
        headers = _headers(call, target)
        try:
            async with asyncio.timeout(config.timeout):
                return await self._ask(call, target, path, headers, body)
        except TimeoutError:
            raise _final(Timeout(f"no answer within {config.timeout:g} seconds")) from None

    async def _ask(
        self, call: EndpointCall, target: EndpointTarget, path: str, headers: dict[str, str], body: bytes | None
    ) -> Result:
        """Ask one address after the other; only what may be done twice is sent twice."""
        config = call.connection
        left = config.max_retries if target.method == "GET" else 0
        pause = _PAUSE
        while True:
            self._turns[call.connection_name] += 1
            address = config.addresses[(self._turns[call.connection_name] - 1) % len(config.addresses)]
            try:
                result = await _exchange(call, target.method, address + path, headers, body)
            except NetworkError as error:
                if not left:
                    raise _final(error) from None
            except PromptExecutionError as error:
                raise _final(error) from None
            else:
                if not left or result.value["status"] not in _AGAIN:
                    result.value["path"] = path
                    return result
            left -= 1
            await asyncio.sleep(pause)
            pause *= 2

    async def test_connection(self, params: ConnectionTestParams[EndpointConfig]) -> ConnectionTestResult:
        """Whether each address answers. What it says to a path that no target names is no matter, if it knows none."""
        for address in params.connection.addresses:
            async with params.http.request(
                "GET", f"{address}/", timeouts=params.connection.timeouts(), max_bytes=1024 * 1024
            ) as response:
                if response.status not in (404, 405):
                    await raise_for_status(response)
                await response.read()
        return ConnectionTestResult(ok=True, message=Key("promptd.connection.reached"))


async def _exchange(
    call: EndpointCall, method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> Result:
    config = call.connection
    async with call.http.request(
        method, url, headers=headers, body=body, timeouts=config.timeouts(), max_bytes=config.max_response_bytes
    ) as response:
        text = (await response.read()).decode("utf-8", "replace")
        return Result(value={"status": response.status, "body": text, "media_type": media_type(response)})


def _request(target: EndpointTarget, value: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """Raises `InvalidInput`."""
    arguments = value.get("arguments") or {}
    if not isinstance(arguments, Mapping):
        raise InvalidInput(field="arguments", expected="an object")
    if "body" in value:
        return build(target.model_copy(update={"method": "POST"}), arguments).path, _json(value["body"])
    outgoing = build(target, arguments)
    if target.method == "GET":
        return outgoing.path, None
    return outgoing.path, _json(outgoing.body | (value.get("more") or {}))


def _headers(call: EndpointCall, target: EndpointTarget) -> dict[str, str]:
    """Those of every call, of this one, and the target's own over them."""
    config = call.connection
    headers = {
        "content-type": "application/json",
        "x-request-id": call.run_id,
        "x-envoy-max-retries": str(config.max_retries),
        "x-envoy-upstream-rq-timeout-ms": str(round(config.timeout * 1000)),
    }
    if config.http_host:
        headers[AUTHORITY] = config.http_host
    headers |= {str(name).lower(): str(text) for name, text in (call.value.get("headers") or {}).items()}
    if target.method != "GET" or "body" in call.value:
        headers |= dict([ALONE])
    for name, secret in target.headers.items():
        headers[AUTHORITY if name.lower() == "host" else name.lower()] = _plain(secret)
    return headers


def _plain(secret: SecretStr) -> str:
    return secret.get_secret_value()


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput("the arguments are not JSON") from error


def _final(error: PromptExecutionError) -> PromptExecutionError:
    """Not to be tried again by whoever runs this: the call may have been heard, and what may be repeated was."""
    error.retryable = False  # type: ignore[misc] # of this one, not of its class
    return error
