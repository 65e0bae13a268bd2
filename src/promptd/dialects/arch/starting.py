"""A file for those who have none: a model listener for every vendor that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from promptd.dialects import yaml_text
from promptd.dialects.arch.listeners import EGRESS, MODEL_PORT
from promptd.dialects.arch.vendors import VENDORS

_VERSION: Final = "v0.4.0"
_LOOPBACK: Final = "127.0.0.1"  # the keys in the environment are for whoever can reach it


def starting_file(variables: Mapping[str, str], *, port: int = MODEL_PORT) -> str:
    """All models of each vendor: with the key that its variable holds, else with that of each caller. Holds no key itself."""
    vendors = {name: one.variable for name, one in VENDORS.items() if one.variable}
    providers = [
        {"model": f"{name}/*", **({"access_key": f"${key}"} if variables.get(key) else {"passthrough_auth": True})}
        for name, key in vendors.items()
    ]
    listener = {"type": "model", "name": EGRESS, "address": _LOOPBACK, "port": port}
    return yaml_text.write(
        {"version": _VERSION, "listeners": [listener], "model_providers": providers}, name="arch_config.yaml"
    )
