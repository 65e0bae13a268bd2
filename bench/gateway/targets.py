"""How to start each gateway. What is not installed is left out with a line that says so.

`BENCH_VENVS` is a folder of virtual environments, one per product: `vllm-router`, `litellm`, `fastapi` (see
`bench/README.md`). promptd is the one of the running interpreter; nginx comes from the PATH.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.gateway.upstream import MODEL

KEY = "sk-bench-0123456789"
ADMIN_KEY = "sk-admin-0123456789"
VENVS = "BENCH_VENVS"


@dataclass
class Recipe:
    """A command, with its environment; `wait` is how many seconds it may take to answer."""

    command: list[str]
    port: int
    variables: Mapping[str, str] = field(default_factory=dict)
    wait: float = 60.0
    key: str = KEY


class Missing(Exception):
    """The product is not installed."""


Maker = Callable[[int, Path], Recipe]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _program(product: str, name: str) -> str:
    folder = os.environ.get(VENVS)
    if folder is None:
        raise Missing(f"{VENVS} is not set")
    path = Path(folder) / product / "bin" / name
    if not path.exists():
        raise Missing(f"there is no {name} in {VENVS}/{product}")
    return str(path)


def _nginx(upstream: int, folder: Path) -> Recipe:
    program = shutil.which("nginx")
    if program is None:
        raise Missing("nginx is not installed")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 256k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
    )
    return Recipe([program, "-c", str(config), "-p", str(folder)], port)


def _router(upstream: int, folder: Path) -> Recipe:
    port = free_port()
    command = [_program("vllm-router", "vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--policy", "round_robin", "--prometheus-port", str(free_port()), "--log-level", "error"]
    return Recipe([*command, "--worker-urls", f"http://127.0.0.1:{upstream}"], port)


def _litellm(upstream: int, folder: Path) -> Recipe:
    port = free_port()
    address = f"http://127.0.0.1:{upstream}/v1"
    parameters = {"model": f"openai/{MODEL}", "api_base": address, "api_key": "sk-upstream"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"set_verbose": False, "request_timeout": 60},
    }
    path = folder / "litellm.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [_program("litellm", "litellm"), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Recipe([*command, "--num_workers", "1", "--telemetry", "False"], port, variables, wait=120)


def _fastapi(upstream: int, folder: Path) -> Recipe:
    port = free_port()
    command = [_program("fastapi", "uvicorn"), "fastapi_proxy:app", "--app-dir", str(Path(__file__).parent)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    variables = {"UPSTREAM": f"http://127.0.0.1:{upstream}/v1"}
    return Recipe([*command, "--no-access-log", "--log-level", "error"], port, variables)


def configuration(upstream: int, port: int) -> dict[str, Any]:
    """promptd with everything on: keys, limits, ledger, cost, metrics, the rules guard. Content is off by default."""
    ample = 10**12
    return {
        "server": {"port": port},
        "connections": {
            "up": {
                "engine": "openai",
                "base_url": f"http://127.0.0.1:{upstream}/v1",
                "api_key": "sk-upstream",
                "slots": 1024,
            }
        },
        "models": {MODEL: {"connection": "up", "price": {"input_per_million": 0.5, "output_per_million": 1.5}}},
        "default_model": MODEL,
        "limits": [
            {"name": "requests", "metric": "requests", "limit": ample, "window": 60, "scope": "key"},
            {"name": "input", "metric": "input_tokens", "limit": ample, "window": 60, "scope": "key"},
            {"name": "at-once", "metric": "concurrency", "limit": 4096, "scope": "key"},
        ],
        "guard": {
            "blocklist": ["forbidden phrase", "another forbidden phrase", "verboten"],
            "patterns": [
                {"name": "card", "pattern": r"\b\d{4} \d{4} \d{4} \d{4}\b"},
                {"name": "ignore", "pattern": r"(?i)ignore (all )?previous instructions"},
            ],
        },
        "keys": {"admin_key": ADMIN_KEY},
        "log": {"level": "warning"},
    }


def _promptd(upstream: int, folder: Path) -> Recipe:
    port = free_port()
    return _served(port, configuration(upstream, port), folder)


def _classifying(upstream: int, folder: Path) -> Recipe:
    """The same, and each prompt is read by the trained classifier as well."""
    port = free_port()
    settings = configuration(upstream, port)
    settings["guard"]["checks"] = {"jailbreak": {"type": "classifier", "threshold": 0.9}}
    return _served(port, settings, folder)


def _served(port: int, settings: dict[str, Any], folder: Path) -> Recipe:
    (folder / "promptd.yaml").write_text(yaml.safe_dump(settings))
    variables = {"PROMPTD_HOME": str(folder)}
    return Recipe([sys.executable, "-m", "promptd", "serve"], port, variables, key=ADMIN_KEY)


TARGETS: dict[str, Maker] = {
    "nginx": _nginx,
    "vllm-router": _router,
    "promptd": _promptd,
    "promptd-classifier": _classifying,
    "fastapi-httpx": _fastapi,
    "litellm": _litellm,
}
