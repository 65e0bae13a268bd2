"""Runs in the environment of a published package: calls in as JSON on standard input, what they gave out as JSON.

A call is `{"via": "rest" | "socket" | "async" | "async-rest", "do": "prompt" | …, "with": […], "stream": bool}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from trustgraph.api import Api  # type: ignore[import-not-found]  # in that environment


def plain(value: Any) -> Any:
    """Results as JSON: newer packages give objects, older ones texts."""
    if hasattr(value, "in_token") and hasattr(value, "text"):
        return {"text": value.text, "in_token": value.in_token, "out_token": value.out_token, "model": value.model}
    return getattr(value, "content", value)


def api(given: Any) -> Any:
    return Api(given["url"], **({"token": given["token"]} if given["token"] else {}))


def rest(given: Any, call: Any) -> Any:
    made = api(given)
    target = made.flow().id(call.get("flow", "default")) if hasattr(made, "flow") else made
    return plain(getattr(target, call["do"])(*call["with"]))


def socket(given: Any, call: Any) -> Any:
    made = api(given).socket()
    try:
        more = {"streaming": call["stream"]} if "stream" in call else {}
        found = getattr(made.flow("default"), call["do"])(*call["with"], **more)
        return [plain(piece) for piece in found] if call.get("stream") else plain(found)
    finally:
        made.close()


async def async_socket(given: Any, call: Any) -> Any:
    made = api(given).async_socket()
    try:
        found = await getattr(made.flow("default"), call["do"])(*call["with"], streaming=call.get("stream", False))
        return [plain(piece) async for piece in found] if call.get("stream") else plain(found)
    finally:
        await made.aclose()


async def async_rest(given: Any, call: Any) -> Any:
    return plain(await getattr(api(given).async_flow().id("default"), call["do"])(*call["with"]))


def run(given: Any, call: Any) -> Any:
    match call["via"]:
        case "rest":
            return rest(given, call)
        case "socket":
            return socket(given, call)
        case "async":
            return asyncio.run(async_socket(given, call))
        case _:
            return asyncio.run(async_rest(given, call))


def main() -> None:
    given = json.load(sys.stdin)
    told: list[dict[str, Any]] = []
    for call in given["calls"]:
        try:
            told.append({"gave": run(given, call)})
        except Exception as error:  # whatever a client raises is what the test looks at
            told.append({"raised": type(error).__name__, "message": str(error)})
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
