"""OpenAI's Responses API from the server's side: read a request, write the answer. It keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from promptd.testing.model_server.views import Plan, View, data_of, refuse, typed, without

ID, CREATED = "resp_upstream", 1_700_000_000
THOUGHT_ID: Final = "rs_1"
SEAL: Final = "gAAAAABsealed"  #: a thought that only the service reads
_OTHERS = frozenset({"messages", "max_tokens", "max_completion_tokens", "response_format", "system", "stop_sequences"})
_TYPES: dict[str, type | tuple[type, ...]] = {
    "stream": bool,
    "instructions": str,
    "max_output_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "text": dict,
    "reasoning": dict,
    "metadata": dict,
    "store": bool,
    "include": list,
}


# ------------------------------------------------------------------ read


def read(body: dict[str, Any]) -> View:
    """A request. Raises `WrongRequest` for what OpenAI would refuse."""
    without(body, _OTHERS)
    typed(body, _TYPES)
    if not isinstance(body.get("model"), str):
        refuse("model", "expected a text")
    form = (body.get("text") or {}).get("format") or {}
    view = View(
        model=body["model"],
        stream=bool(body.get("stream")),
        words=body.get("instructions") or "",
        tools=tuple(tool["name"] for tool in body.get("tools") or () if tool["type"] in ("function", "custom")),
        spaces=_spaces(body.get("tools") or ()),
        choice=_choice(body.get("tool_choice")),
        schema=form["schema"] if form.get("type") == "json_schema" else None,
        seals="reasoning.encrypted_content" in (body.get("include") or ()),
        thinks=(body.get("reasoning") or {}).get("effort") not in (None, "none"),
        max_tokens=body.get("max_output_tokens"),
    )
    view.tools += tuple(view.spaces)
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        refuse("input", "expected a text or items")
    open_calls: set[str] = set()
    for index, item in enumerate(items):
        _item(view, item, f"input[{index}]", open_calls)
    if open_calls:
        refuse("input", f"No tool output found for function call {sorted(open_calls)}")
    return view


def _spaces(tools: Any) -> dict[str, tuple[str, str]]:
    """Namespace and name of the tools that stand in one, by what a script calls them: NAMESPACE__NAME."""
    spaces = [tool for tool in tools if tool["type"] == "namespace"]
    return {
        f"{space['name']}__{tool['name']}": (space["name"], tool["name"]) for space in spaces for tool in space["tools"]
    }


def _item(view: View, item: Any, field: str, open_calls: set[str]) -> None:
    match item:
        case {"namespace": namespace, "name": name} if (namespace, name) not in view.spaces.values():
            refuse(f"{field}.namespace", f"there is no tool {name} in {namespace}")
        case {"role": "user" | "assistant" | "system" | "developer" as role, "content": content} if (
            item.get("type", "message") == "message"
        ):
            text = _content(view, content, field, role)
            view.words += " " + text
            if role == "user":
                view.last, view.results = text, ()
        case {"type": "function_call", "call_id": str(id), "name": str(), "arguments": str(arguments)}:
            open_calls.add(id)
            view.words += " " + arguments
        case {"type": "custom_tool_call", "call_id": str(id), "name": str(), "input": str(arguments)}:
            open_calls.add(id)
            view.words += " " + arguments
        case {"type": "function_call_output" | "custom_tool_call_output", "call_id": str(id), "output": output}:
            if id not in open_calls:
                refuse(f"{field}.call_id", f"No tool call found for {id}")
            open_calls.discard(id)
            text = output if isinstance(output, str) else _content(view, output, field, "user")
            view.words += " " + text
            view.results += (text,)
        case {"type": "reasoning", "summary": list(), "encrypted_content": str(seal)}:
            if (item.get("id"), seal) != (THOUGHT_ID, SEAL):
                refuse(f"{field}.encrypted_content", "The encrypted content could not be verified.")
        case {"type": "reasoning", "summary": list()}:
            pass
        case _:
            refuse(field, f"no item: {item!r}"[:200])


def _content(view: View, content: Any, field: str, role: str) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for index, part in enumerate(content):
        match part:
            case {"type": "input_text", "text": str(text)} if role != "assistant":
                texts.append(text)
            case {"type": "output_text", "text": str(text)} if role == "assistant":
                texts.append(text)
            case {"type": "refusal", "refusal": str(text)} if role == "assistant":
                texts.append(text)
            case {"type": "input_image", "image_url": str(url)} if role == "user":
                view.images += (data_of(url, f"{field}.content[{index}].image_url"),)
            case {"type": "input_file", "file_data": str(url)} if role == "user":
                view.documents += (str(len(data_of(url, f"{field}.content[{index}].file_data"))),)
            case _:
                refuse(f"{field}.content[{index}]", f"no part of a message of {role}: {part!r}"[:200])
    return "\n".join(texts)


def _choice(choice: Any) -> str:
    match choice:
        case None:
            return "auto"
        case "auto" | "none" | "required":
            return str(choice)
        case {"type": "function" | "custom", "name": str(name)}:
            return name
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode}:
            return str(mode)
    return refuse("tool_choice", "unknown")


# ------------------------------------------------------------------ write


def usage(said: Plan) -> dict[str, Any]:
    return {
        "input_tokens": said.input_tokens,
        "input_tokens_details": {"cached_tokens": said.cached_tokens},
        "output_tokens": said.output_tokens,
        "output_tokens_details": {"reasoning_tokens": said.reasoning_tokens},
        "total_tokens": said.input_tokens + said.output_tokens,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _items(view: View, said: Plan) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.thought:
        summary = [{"type": "summary_text", "text": "".join(said.thought)}]
        seal = {"encrypted_content": SEAL} if view.seals else {}
        items.append({"type": "reasoning", "id": THOUGHT_ID, "summary": summary, **seal})
    status = "incomplete" if said.finish == "length" else "completed"
    if said.text:
        message = {"type": "message", "id": "msg_1", "status": status, "role": "assistant"}
        items.append({**message, "content": [_text(said.text)]})
    for index, call in enumerate(said.calls):
        held = {"type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "status": "completed"}
        place = view.spaces.get(call.name)
        called = {"name": call.name} if place is None else {"namespace": place[0], "name": place[1]}
        items.append({**held, **called, "arguments": call.arguments})
    return items


def whole(view: View, said: Plan) -> dict[str, Any]:
    cut = said.finish == "length"
    return _response(view) | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _items(view, said),
        "usage": usage(said),
    }


def _response(view: View) -> dict[str, Any]:
    return {
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": view.max_tokens,
        "model": view.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
    }


def stream(view: View, said: Plan) -> Iterator[Any]:
    """All events, numbered."""
    for number, event in enumerate(_events(view, said)):
        yield event | {"sequence_number": number}


def _events(view: View, said: Plan) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": _response(view)}
    yield {"type": "response.in_progress", "response": _response(view)}
    for index, item in enumerate(_items(view, said)):
        place = {"item_id": item["id"], "output_index": index}
        match item["type"]:
            case "message":
                start, inner = item | {"status": "in_progress", "content": []}, _message_events(said, place)
            case "reasoning":
                start, inner = item | {"summary": []}, _reasoning_events(said, place)
            case _:
                start, inner = item | {"status": "in_progress", "arguments": ""}, _call_events(item, place)
        yield {"type": "response.output_item.added", "output_index": index, "item": start}
        yield from inner
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    end = "response.incomplete" if said.finish == "length" else "response.completed"
    yield {"type": end, "response": whole(view, said)}


def _message_events(said: Plan, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = place | {"content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _text("")}
    for piece in said.pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": said.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text(said.text)}


def _reasoning_events(said: Plan, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place, text = place | {"summary_index": 0}, "".join(said.thought)
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {"type": "summary_text", "text": ""}}
    for piece in said.thought:
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **place, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": {"type": "summary_text", "text": text}}


def _call_events(item: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    arguments: str = item["arguments"]
    for at in range(0, len(arguments), 3):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments[at : at + 3]}
    done = {"type": "response.function_call_arguments.done", **place, "arguments": arguments}
    yield done | {"name": item["name"]}
