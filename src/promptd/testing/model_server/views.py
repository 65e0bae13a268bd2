"""What a request asks, whatever its dialect, and what the model behind `ModelServer` makes of it.

The last words of the user are the script. Lines that begin with a slash are directions, the others are repeated:

    /call NAME {"city": "Oslo"}   call a tool (several lines: parallel calls)
    /fault NAME                   misbehave (`faults.py` has the names)
    /hold NAME                    say half, then wait for `ModelServer.release(NAME)`
    /pace SECONDS                 pause before each piece
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from typing import Any, Final, NoReturn

from msgspec import Struct, field

THOUGHT: Final = "Let me see. "
_PIECES = re.compile(r"\s*\S+\s*")


class WrongRequest(Exception):
    """What the vendor would answer with 400, and the field that is at fault."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(f"{field}: {message}")


class View(Struct, kw_only=True):
    """A request without its dialect."""

    model: str
    stream: bool = False
    words: str = ""  #: everything that was said, for counting
    last: str = ""  #: the user's last words
    results: tuple[str, ...] = ()  #: of tools, behind the user's last words
    images: tuple[bytes, ...] = ()
    sounds: int = 0
    documents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    spaces: dict[str, tuple[str, str]] = field(default_factory=dict)  #: tools that stand in a namespace
    choice: str = "auto"  #: `auto`, `none`, `required` or a tool's name
    schema: dict[str, Any] | None = None
    thinks: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    count: int = 1
    logprobs: bool = False
    usage: bool = False  #: on the stream
    echo: bool = False
    seals: bool = False  #: thoughts, so that nobody but the service reads them
    instructs: bool = False  #: by system messages within the conversation, which want a beta header


class Planned(Struct):
    """A call of a tool."""

    name: str
    arguments: str


class Plan(Struct, kw_only=True):
    """What the model says."""

    pieces: tuple[str, ...] = ()
    thought: tuple[str, ...] = ()
    calls: tuple[Planned, ...] = ()
    finish: str = "stop"  #: `stop`, `length`, `tool_calls`
    stop_sequence: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0  #: of the input
    fault: str = ""
    hold: str = ""
    pace: float = 0.0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_tokens(self) -> int:
        return len(self.thought)

    @property
    def output_tokens(self) -> int:
        return len(self.pieces) + len(self.thought) + sum(1 + len(call.arguments.split()) for call in self.calls)


def plan(view: View) -> Plan:
    """Follow the script. A token is a word; of an input of ten and more, half is called cached."""
    lines = view.last.split("\n")
    directions = [line[1:].split(" ", 2) for line in lines if line.startswith("/")]
    given = {words[0]: words[1] for words in directions if len(words) > 1 and words[0] != "call"}
    wished = () if view.results else tuple(_wished(words) for words in directions if words[0] == "call")
    calls = tuple(call for call in wished if call.name in view.tools)
    if not calls and not view.results and view.tools and view.choice not in ("auto", "none"):
        calls = (Planned(view.tools[0] if view.choice == "required" else view.choice, "{}"),)
    if view.choice == "none":
        calls = ()
    text = "" if calls else _words(view, "\n".join(line for line in lines if not line.startswith("/")))
    stops = [(text.index(stop), stop) for stop in view.stop if stop in text]
    stop_sequence = None
    if stops:
        place, stop_sequence = min(stops)
        text = text[:place]
    pieces = _PIECES.findall(text) or ([text] if text else [])
    finish = "tool_calls" if calls else "stop"
    if view.max_tokens is not None and len(pieces) > view.max_tokens:
        pieces, finish, stop_sequence = pieces[: view.max_tokens], "length", None
    count = len(view.words.split())
    return Plan(
        pieces=tuple(pieces),
        thought=tuple(_PIECES.findall(THOUGHT)) if view.thinks else (),
        calls=calls,
        finish=finish,
        stop_sequence=stop_sequence,
        input_tokens=count,
        cached_tokens=count // 2 if count >= 10 else 0,
        fault=given.get("fault", ""),
        hold=given.get("hold", ""),
        pace=float(given.get("pace", "0")),
    )


def _wished(words: list[str]) -> Planned:
    return Planned(words[1], words[2] if len(words) > 2 else "{}")


def _words(view: View, said: str) -> str:
    if view.schema is not None:
        return json.dumps(sample(view.schema, view.schema))
    if view.results:
        return "The tools said: " + " | ".join(view.results)
    seen = [f"image {hashlib.sha256(data).hexdigest()[:8]}" for data in view.images]
    seen += [f"document {text}" for text in view.documents] + ["a sound"] * view.sounds
    return "You said: " + said.strip() + (f" (with {', '.join(seen)})" if seen else "")


def sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """A small value that fits a JSON Schema."""
    if "$ref" in schema:
        target: Any = root
        for name in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[name]
        return sample(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return sample(schema[union][0], root)
    match schema.get("type"):
        case "object":
            return {name: sample(each, root) for name, each in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {}), root)]
        case "integer":
            return schema.get("minimum", 7)
        case "number":
            return schema.get("minimum", 7.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "words"


# ------------------------------------------------------------------ checks that every dialect's reader needs


def refuse(field: str, message: str) -> NoReturn:
    raise WrongRequest(field, message)


def typed(body: dict[str, Any], kinds: dict[str, type | tuple[type, ...]]) -> None:
    """Refuse members of another type; absent and null ones pass."""
    for name, kind in kinds.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, (bool,))):
            refuse(name, f"of the wrong type: {type(value).__name__}")


def without(body: dict[str, Any], names: frozenset[str]) -> None:
    """Refuse members that belong to another dialect: whoever sends them has not translated."""
    for name in names & body.keys():
        refuse(name, "this member is another vendor's")


def data_of(url: str, field: str) -> bytes:
    """The bytes of a `data:` address."""
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64") or not comma:
        refuse(field, "expected a data: address")
    return b64decode(data, validate=True)
