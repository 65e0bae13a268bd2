"""The engine under examination, what it is given, and calls of it that end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from promptd.core.calls import Call, Config, DescribeParams, Result
from promptd.core.content import Turn
from promptd.core.descriptors import Param, SampleFile, check_params, sample
from promptd.core.engine import Engine, map_error
from promptd.core.errors import PromptExecutionError
from promptd.core.model import Blob, Capability, Chunk, Request
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient
from promptd.core.prompt_files import PromptFile
from promptd.testing import media
from promptd.testing.conformance.filling import filled
from promptd.testing.conformance.findings import Findings
from promptd.testing.fake_http import FakeHttp, Reply

PATIENCE: Final = 5.0  # seconds for one call of the engine's code
PROMPTLY: Final = 1.0  # seconds that ending a cancelled call may take


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What an engine is examined with. All of it is optional; what is missing is made from the config classes.

    `replies` is a script of the service for a run that goes well, then its output is checked, too; `test_replies` one
    for a connection test. `online=False`: the engine asks nobody over `call.http`, so services' errors are not tried.
    """

    connection: Config | None = None
    query: Config | None = None
    value: Mapping[str, Any] | None = None
    files: Mapping[str, Sequence[PromptFile]] = field(default_factory=dict)
    messages: Sequence[Turn] = (Turn("user", "Hello"),)
    blobs: Sequence[Blob] = ()
    parameters: Parameters = Parameters()  # noqa: RUF009 - frozen
    capability: Capability | None = None
    model: str = "model"
    replies: Sequence[Reply] = ()
    test_replies: Sequence[Reply] = ()
    online: bool = True


class Subject:
    """One engine class in an examination."""

    def __init__(self, kind: type[Engine[Any, Any]], samples: Samples | None) -> None:
        self.kind = kind
        self.engine = kind()
        own = getattr(kind, "conformance_samples", None)
        self.samples: Samples = samples or (own() if callable(own) else Samples())
        self.findings = Findings()
        self.expect, self.guarded = self.findings.expect, self.findings.guarded

    @cached_property
    def connection(self) -> Config:
        """Settings that a run can be made with."""
        if self.samples.connection is not None:
            return self.samples.connection
        made: Config = filled(self.kind.connection_config_class())
        return made

    @cached_property
    def query(self) -> Config:
        if self.samples.query is not None:
            return self.samples.query
        made: Config = filled(self.kind.query_config_class())
        return made

    def configs(self) -> list[tuple[str, type[Config], Config]]:
        """Each kind of settings, empty and with something in it."""
        found: list[tuple[str, type[Config], Config]] = []
        for kind, model, own in (
            ("connection", self.kind.connection_config_class(), self.samples.connection),
            ("query", self.kind.query_config_class(), self.samples.query),
        ):
            found += [(kind, model, model()), (kind, model, filled(model))]
            found += [(kind, model, own)] if own is not None else []
        return found

    def described(self, where: str, params: DescribeParams[Any, Any]) -> tuple[Param, ...]:
        """The list `inputs` or `outputs`. Raises `DescriptorFailed`, and what the engine raises."""
        compute = self.engine.compute_query_input if where == "inputs" else self.engine.compute_query_output
        return check_params(compute(params), where=where)

    @cached_property
    def inputs(self) -> tuple[Param, ...]:
        return self.described("inputs", DescribeParams(connection=self.connection, query=self.query))

    @cached_property
    def outputs(self) -> tuple[Param, ...]:
        return self.described("outputs", DescribeParams(connection=self.connection, query=self.query))

    def call(self, http: HttpClient, **changes: Any) -> Call[Any, Any]:
        """A call with the samples in it; one of a language model where the query is asked of one."""
        samples = self.samples
        given = sample(self.inputs)
        fields: dict[str, Any] = {
            "connection": self.connection,
            "query": self.query,
            "connection_name": "examination",
            "model": samples.model,
            "http": http,
            "value": given.value if samples.value is None else dict(samples.value),
            "files": {name: tuple(map(file_of, files)) for name, files in given.files.items()}
            | {name: tuple(files) for name, files in samples.files.items()},
            "messages": tuple(samples.messages),
            "blobs": tuple(samples.blobs),
            "parameters": samples.parameters,
            "capability": samples.capability or self.capability,
            "run_id": "prm_examination",
        }
        call: Call[Any, Any] = Call(**(fields | changes))
        composed = self.engine.compose(call) if samples.capability is None else None
        if isinstance(composed, Request):
            call = Call(
                **(
                    fields
                    | {"messages": composed.messages, "parameters": composed.parameters, "capability": Capability.CHAT}
                    | changes
                )
            )
        return call

    @property
    def capability(self) -> Capability:
        for first in (Capability.QUERY, Capability.CHAT):
            if first in self.kind.capabilities:
                return first
        return min(self.kind.capabilities)

    async def run(self, call: Call[Any, Any]) -> Result:
        """The whole result. Raises what the engine raises, and `TimeoutError` where it takes too long."""
        text: list[str] = []
        done: Chunk | None = None
        async with asyncio.timeout(PATIENCE), aclosing(self.engine.run(call)) as chunks:
            async for chunk in chunks:
                text.append(chunk.text)
                done = chunk
        if done is None or done.kind != "done":
            raise AssertionError("the run ended without a `done` chunk")
        return Result(text="".join(text), value=done.value, files=done.outputs or {}, blobs=done.blobs)

    async def failure(self, http: FakeHttp, **changes: Any) -> PromptExecutionError | None:
        """How a run against this client fails; None where it goes well."""
        try:
            await self.run(self.call(http, **changes))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the engine may raise anything, and what it means is the question
            return map_error(self.engine, error)
        return None


async def answered(method: Callable[..., Any], *arguments: Any) -> Any:
    """What a method answers that may be `def` or `async def`. Raises `TimeoutError` where it takes too long."""
    async with asyncio.timeout(PATIENCE):
        found = await asyncio.to_thread(method, *arguments)
        return await found if isinstance(found, Awaitable) else found


def file_of(described: SampleFile) -> PromptFile:
    """A file of the type that a parameter takes."""
    content = {"image/png": media.png("sample"), "audio/wav": media.wav("sample")}.get(described.media_type, b"")
    if not content:
        content = b"%PDF-1.4\n%%EOF\n" if described.media_type == "application/pdf" else b"sample"
    return replace(PromptFile.from_bytes(described.filename, content), media_type=described.media_type)
