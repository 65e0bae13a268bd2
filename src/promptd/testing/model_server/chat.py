"""OpenAI's chat, legacy completions and embeddings, from the server's side: read a request, write the answer."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from promptd.testing.model_server.views import Plan, View, data_of, refuse, typed, without

ID, CREATED = "chatcmpl-upstream", 1_700_000_000
DONE = b"data: [DONE]\n\n"
_OTHERS = frozenset({"system", "stop_sequences", "thinking", "input", "instructions", "max_output_tokens", "text"})
_TYPES: dict[str, type | tuple[type, ...]] = {
    "stream": bool,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "seed": int,
    "stop": (str, list),
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "logprobs": bool,
    "top_logprobs": int,
    "response_format": dict,
    "stream_options": dict,
    "user": str,
    "metadata": dict,
    "reasoning_effort": str,
}


# ------------------------------------------------------------------ read


def read(body: dict[str, Any]) -> View:
    """A chat request. Raises `WrongRequest` for what OpenAI would refuse."""
    without(body, _OTHERS)
    typed(body, _TYPES)
    if not isinstance(body.get("model"), str):
        refuse("model", "expected a text")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        refuse("messages", "expected at least one message")
    options = body.get("stream_options")
    if options is not None and not body.get("stream"):
        refuse("stream_options", "only allowed with stream")
    view = View(
        model=body["model"],
        stream=bool(body.get("stream")),
        tools=tuple(_tool(tool, index) for index, tool in enumerate(body.get("tools") or ())),
        choice=_choice(body.get("tool_choice")),
        schema=_schema(body.get("response_format")),
        thinks=body.get("reasoning_effort") not in (None, "none"),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=_stop(body.get("stop")),
        count=body.get("n") or 1,
        logprobs=bool(body.get("logprobs")),
        usage=bool((options or {}).get("include_usage")),
    )
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        _message(view, message, f"messages[{index}]", open_calls)
    if open_calls:
        refuse("messages", f"tool calls without a result: {sorted(open_calls)}")
    return view


def _message(view: View, message: Any, field: str, open_calls: set[str]) -> None:
    if not isinstance(message, dict):
        refuse(field, "expected an object")
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant", "tool", "function"):
        refuse(f"{field}.role", f"unknown role {role!r}")
    if role == "tool":
        if message.get("tool_call_id") not in open_calls:
            refuse(f"{field}.tool_call_id", "no such call before it")
        open_calls.discard(message["tool_call_id"])
    elif open_calls:
        refuse(field, "expected the results of the tool calls first")
    calls = message.get("tool_calls")
    if calls is not None and (role != "assistant" or not calls):
        refuse(f"{field}.tool_calls", "expected at least one call, of an assistant")
    for call in calls or ():
        for name in call.keys() - {"id", "type", "function", "custom"}:
            refuse(f"{field}.tool_calls.{name}", "unknown parameter")
        open_calls.add(call["id"])
        view.words += " " + (call["function"]["arguments"] if call["type"] == "function" else call["custom"]["input"])
    content = message.get("content")
    if content is None and (role != "assistant" or (not calls and not message.get("refusal"))):
        refuse(f"{field}.content", "expected a text or parts")
    text = _content(view, content, f"{field}.content", role)
    view.words += " " + text
    if role == "user":
        view.last, view.results = text, ()
    elif role == "tool":
        view.results += (text,)


def _content(view: View, content: Any, field: str, role: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or not content:
        refuse(field, "expected a text or parts")
    texts = []
    for index, part in enumerate(content):
        for name in part.keys() - {"type", part.get("type")}:
            refuse(f"{field}[{index}].{name}", "unknown parameter")
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "refusal", "refusal": str(text)} if role == "assistant":
                texts.append(text)
            case {"type": "image_url", "image_url": {"url": str(url)}} if role == "user":
                view.images += (data_of(url, f"{field}[{index}].image_url.url"),)
            case {"type": "input_audio", "input_audio": {"data": str(), "format": "wav" | "mp3"}} if role == "user":
                view.sounds += 1
            case {"type": "file", "file": {"file_data": str(url)}} if role == "user":
                view.documents += (str(len(data_of(url, f"{field}[{index}].file.file_data"))),)
            case _:
                refuse(f"{field}[{index}]", f"no part of a message of {role}: {part!r}"[:200])
    return "\n".join(texts)


def _tool(tool: Any, index: int) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name), **rest}}:
            parameters = rest.get("parameters")
            if parameters is not None and not isinstance(parameters, dict):
                refuse(f"tools[{index}].function.parameters", "expected a schema")
            return name
        case {"type": "custom", "custom": {"name": str(name)}}:
            return name
    return refuse(f"tools[{index}]", "no tool")


def _choice(choice: Any) -> str:
    match choice:
        case None:
            return "auto"
        case "auto" | "none" | "required":
            return str(choice)
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return name
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list()}}:
            return str(mode)
    return refuse("tool_choice", "unknown")


def _schema(form: Any) -> dict[str, Any] | None:
    match form:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object", "properties": {"ok": {"type": "boolean"}}}
        case {"type": "json_schema", "json_schema": {"name": str(), "schema": dict(schema)}}:
            return schema
    return refuse("response_format", "unknown")


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    return () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop)


def read_completion(body: dict[str, Any]) -> View:
    """A legacy completion of one text."""
    typed(body, _TYPES | {"prompt": str, "echo": bool})
    prompt = body.get("prompt") or ""
    options = body.get("stream_options") or {}
    return View(
        model=body["model"],
        stream=bool(body.get("stream")),
        words=prompt,
        last=prompt,
        max_tokens=body.get("max_tokens"),
        stop=_stop(body.get("stop")),
        usage=bool(options.get("include_usage")),
        echo=bool(body.get("echo")),
    )


# ------------------------------------------------------------------ write


def usage(said: Plan, count: int = 1) -> dict[str, Any]:
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": said.output_tokens * count,
        "total_tokens": said.input_tokens + said.output_tokens * count,
        "prompt_tokens_details": {"cached_tokens": said.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": said.reasoning_tokens * count, "audio_tokens": 0},
    }


def _logprobs(pieces: tuple[str, ...]) -> dict[str, Any]:
    content = [
        {"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces
    ]
    return {"content": content, "refusal": None}


def _calls(said: Plan) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{index}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for index, call in enumerate(said.calls)
    ]


def whole(view: View, said: Plan) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text if not said.calls else None, "refusal": None}
    if said.thought:
        message["reasoning_content"] = "".join(said.thought)
    if said.calls:
        message["tool_calls"] = _calls(said)
    choice = {
        "message": message,
        "logprobs": _logprobs(said.pieces) if view.logprobs else None,
        "finish_reason": said.finish,
    }
    return {
        "id": ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": view.model,
        "choices": [{"index": index, **choice} for index in range(view.count)],
        "usage": usage(said, view.count),
        "service_tier": "default",
        "system_fingerprint": "fp_upstream",
    }


def stream(view: View, said: Plan) -> Iterator[Any]:
    """The stream's events but the end (`DONE`); all of a choice's deltas, choice by choice in turn."""

    def event(*choices: dict[str, Any], counts: dict[str, Any] | None = None) -> dict[str, Any]:
        made = {
            "id": ID,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": view.model,
            "system_fingerprint": "fp_upstream",
            "choices": list(choices),
        }
        return made | ({"usage": counts} if view.usage else {})

    def choice(
        index: int, delta: dict[str, Any], finish: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    for delta, logprobs in _deltas(view, said):
        for index in range(view.count):
            yield event(choice(index, delta, logprobs=logprobs))
    for index in range(view.count):
        yield event(choice(index, {}, said.finish))
    if view.usage:
        yield event(counts=usage(said, view.count))


def _deltas(view: View, said: Plan) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    yield {"role": "assistant", "content": None if said.calls else "", "refusal": None}, None
    for piece in said.thought:
        yield {"reasoning_content": piece}, None
    for piece in said.pieces:
        yield {"content": piece}, _logprobs((piece,)) if view.logprobs else None
    for call in _calls(said):
        function = call["function"] | {"arguments": ""}
        yield {"tool_calls": [{**call, "index": int(call["id"].removeprefix("call_")), "function": function}]}, None
    # the arguments of parallel calls come interleaved, three characters at a time
    cut = [[call.arguments[at : at + 3] for at in range(0, len(call.arguments), 3)] for call in said.calls]
    for row in zip_longest(*cut):
        for index, piece in enumerate(row):
            if piece is not None:
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None


def whole_completion(view: View, said: Plan) -> dict[str, Any]:
    text = (view.last if view.echo else "") + said.text
    return _completion(view, text, said.finish) | {"usage": usage(said)}


def _completion(view: View, text: str, finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {"id": "cmpl-1", "object": "text_completion", "created": CREATED, "model": view.model, "choices": [choice]}


def stream_completion(view: View, said: Plan) -> Iterator[Any]:
    for piece in said.pieces:
        yield _completion(view, piece, None)
    yield _completion(view, "", said.finish)
    if view.usage:
        yield _completion(view, "", None) | {"choices": [], "usage": usage(said)}


def embeddings(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The answer (a vector says how long its text is, and which byte is first), and how many tokens it took.

    A text may come as its tokens, which here are its characters.
    """
    typed(body, {"input": (str, list), "dimensions": int, "encoding_format": str})
    given = body.get("input")
    texts = [_spelled(one) for one in ([given] if isinstance(given, str) or _is_tokens(given) else given or ())]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        refuse("input", "expected texts")
    size = body.get("dimensions") or 4
    vectors = [([float(len(text)), text.encode()[0] / 256, 0.5, -0.25] * size)[:size] for text in texts]
    packed = body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    count = sum(len(text.split()) for text in texts)
    counts = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": body["model"], "usage": counts}, count


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(token) is int for token in given)


def _spelled(text: Any) -> Any:
    return "".join(map(chr, text)) if _is_tokens(text) else text
