"""`HttpTarget`: one request per query, to the address of the connection and nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from promptd.core.calls import CheckLine
from promptd.core.descriptors import Param
from promptd.core.engine import Call, ConnectionTestParams, ConnectionTestResult, DescribeParams, Engine, Result
from promptd.core.errors import (
    AuthenticationFailed,
    InvalidInput,
    InvalidOutput,
    PermissionDenied,
    PromptExecutionError,
    ResourceNotFound,
    UnsupportedInput,
)
from promptd.core.forms import Form, FormContext, FormLogic, make_form
from promptd.core.localisation import Key
from promptd.core.model import Capability
from promptd.core.ports import HttpResponse
from promptd.dialects.bodies import error_body
from promptd.dialects.errors import error_from_response
from promptd.dialects.exchange import secrets_of
from promptd.engines.http_target import response as reading
from promptd.engines.http_target.config import HttpQuery, HttpTargetConfig, expected_statuses
from promptd.engines.http_target.forms import CONNECTION, QUERY, ConnectionLogic, QueryLogic
from promptd.engines.http_target.params import inputs_of, outputs_of
from promptd.engines.http_target.request import build, check_path

_REFUSED: Final = (AuthenticationFailed, PermissionDenied)


class HttpTarget(Engine[HttpTargetConfig, HttpQuery]):
    type_id = "http_target"
    display_name_key = "http_target.name"
    display_description_key = "http_target.description"
    capabilities = frozenset({Capability.QUERY})

    def compute_query_input(self, params: DescribeParams[HttpTargetConfig, HttpQuery]) -> Sequence[Param]:
        return inputs_of(params.query, params.connection.max_request_bytes)

    def compute_query_output(self, params: DescribeParams[HttpTargetConfig, HttpQuery]) -> Sequence[Param]:
        return outputs_of(params.query)

    def connection_form(self, context: FormContext) -> Form:
        return make_form(HttpTargetConfig, CONNECTION)

    def connection_form_logic(self) -> FormLogic[HttpTargetConfig, Any]:
        return ConnectionLogic()

    def query_form(self, context: FormContext) -> Form:
        return make_form(HttpQuery, QUERY)

    def query_form_logic(self) -> FormLogic[HttpTargetConfig, HttpQuery]:
        return QueryLogic()

    async def execute(self, call: Call[HttpTargetConfig, HttpQuery]) -> Result:
        if call.capability is not Capability.QUERY:
            raise UnsupportedInput("an endpoint is asked by queries only")
        config, query = call.connection, call.query
        try:
            request = await asyncio.to_thread(build, call)
        except OSError as error:
            raise InvalidInput("a file can't be read", detail=repr(error)) from error
        async with call.http.request(
            query.method,
            request.url,
            headers=request.headers,
            body=request.body,
            timeouts=config.timeouts(),
            max_bytes=config.max_response_bytes,
        ) as response:
            if response.status not in expected_statuses(query.statuses):
                raise await _meaning(response, config)
            return await reading.read(query, response, request.url)

    async def test_connection(self, params: ConnectionTestParams[HttpTargetConfig]) -> ConnectionTestResult:
        """Whether the endpoint answers, and whether it takes the authentication as far as a GET shows that."""
        config = params.connection
        url = config.address() + check_path(config.test_path)
        headers = config.request_headers()
        async with params.http.request(
            "GET", url, headers=headers, timeouts=config.timeouts(), max_bytes=config.max_response_bytes
        ) as response:
            status = response.status
            answered = CheckLine(True, Key("http_target.test.answered", {"status": status}))
            if status < 400:
                await response.read()  # an answer that breaks off is none
                return ConnectionTestResult(ok=True, message=Key("promptd.connection.reached"), checks=(answered,))
            error = await _meaning(response, config)
        refused = CheckLine(False, error.message)
        if isinstance(error, _REFUSED) or status >= 500:
            return ConnectionTestResult(ok=False, message=error.message, checks=(answered, refused))
        # what it says to another question is no matter, unless somebody named the path for the test
        fails = bool(config.test_path) or not isinstance(error, ResourceNotFound)
        text = error.message if fails else Key("http_target.test.reached_only")
        return ConnectionTestResult(ok=not fails, message=text, checks=(answered, CheckLine(not fails, text)))


async def _meaning(response: HttpResponse, config: HttpTargetConfig) -> PromptExecutionError:
    secrets = [*secrets_of(config.request_headers()), config.password.get_secret_value()]
    if response.status < 300:
        return InvalidOutput(f"the endpoint answered with {response.status}, which was not expected")
    body = await error_body(response)
    return error_from_response(response.status, response.headers, body, now=time.time(), secrets=secrets)
