"""Prompt requests as they are planned."""

from __future__ import annotations

from typing import Any

from promptd.core.engine import NoConfig
from promptd.core.model import Capability
from promptd.core.routing import Route
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.faces.onebackend.lenient import fit
from promptd.faces.onebackend.options import OneBackendOptions, TypeRule
from promptd.faces.onebackend.parameters import Plan, PromptRequest, plan
from promptd.service.connections import Connection, Connections
from tests.service.house import Puppet

TEXT, IMAGE = frozenset({Capability.CHAT}), frozenset({Capability.IMAGE})


SPEECH = frozenset({Capability.SPEECH})


ROUTES = {
    "talker": (TEXT, None),
    "templated": (TEXT, "[INST] {prompt} [/INST]"),
    "tiny": (TEXT, "<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n"),
    "painter": (IMAGE, None),
    "speaker": (SPEECH, None),
}


def connections(default: str | None = "talker", names: tuple[str, ...] = tuple(ROUTES)) -> Connections:
    lab = Connection(name="lab", engine=Puppet(), config=NoConfig(), http=Egress(), slots=1)
    easel = Connection(name="easel", engine=StableDiffusion(), config=StableDiffusionConfig(), http=Egress(), slots=1)
    routes = {
        name: Route(
            model=name,
            connection="easel" if name == "painter" else "lab",
            upstream=name,
            template=ROUTES[name][1],
            capabilities=ROUTES[name][0],
        )
        for name in names
    }
    return Connections({"lab": lab, "easel": easel}, routes, default)


COMPAT = OneBackendOptions(
    types={
        "Translation": TypeRule(model="templated", template="Translate: {prompt}"),
        "Text-to-Image": TypeRule(model="painter"),
    },
    system_message="Be brief.",
)


def planned(body: dict[str, Any], default: str | None = "talker", compat: OneBackendOptions = COMPAT) -> Plan:
    return plan(fit({"prompt": "x"} | body, PromptRequest), connections(default), compat)


def echo_of(body: dict[str, Any], **more: Any) -> Any:
    return planned(body, **more).request.echo["onebackend"]
