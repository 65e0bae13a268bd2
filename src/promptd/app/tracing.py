"""Traces, where the operator or an Arch file wants them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd import __version__
from promptd.service.tracing import Tracing, TracingRules
from promptd.settings import Settings
from promptd.telemetry import OtlpSpans

#: what the original's parts are called in its spans (contracts/arch.md §7)
_NEW: Final = {"inbound": "plano(inbound)", "routing": "plano(routing)", "llm": "plano(llm)"}
_OLD: Final = dict.fromkeys(_NEW, "arch")


class Traces(Struct, frozen=True, kw_only=True):
    """Nothing in it where nobody traces."""

    tracing: Tracing | None = None
    listeners: TracingRules = TracingRules()  #: of an Arch file's listeners
    close: Callable[[], Any] | None = None  #: sends the last spans


def make(settings: Settings) -> Traces:
    """A caller's context is passed on by the listeners of an Arch file always. Raises `SettingsError`."""
    given, arch = settings.tracing, settings.arch
    if given.endpoint is None and arch is None:
        return Traces()
    rules = TracingRules(
        sampling=given.sampling / 100,
        header_prefixes=given.header_prefixes,
        static=given.static,
        content=given.content,
    )
    spans: OtlpSpans | None = None
    if given.endpoint is not None:
        headers = {name: value.get_secret_value() for name, value in given.headers.items()}
        spans = OtlpSpans(given.endpoint, given.protocol, headers, __version__)
    return Traces(
        tracing=Tracing(clock=time.time, entropy=os.urandom, rules=rules, tell=spans),
        listeners=replace(rules, services=_NEW if arch is not None and arch.era == "E" else _OLD),
        close=spans.close if spans is not None else None,
    )
