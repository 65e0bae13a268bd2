"""Items of a response's output while they are made, and the events that tell of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from promptd.core.content import ToolCall
from promptd.dialects.responses.namespaces import Place

_decode: Final = msgspec.json.Decoder().decode

Event = dict[str, Any]

_EMPTY: Final[list[Any]] = []
_MOST_LOOKS: Final = 64  #: whether the arguments of a call are whole


class Item(ABC):
    """One item. Its verbs return the events that they cause, without number and place."""

    def __init__(self, item_id: str) -> None:
        self.id = item_id
        self.status = "in_progress"
        self.place = 0  #: its index in the output

    @property
    def whole(self) -> bool:
        """Whether nothing can come behind what it holds, once another item begins."""
        return True

    @abstractmethod
    def shown(self) -> dict[str, Any]:
        """The item as it is now."""

    @abstractmethod
    def finish(self) -> list[Event]:
        """The events before `output_item.done`."""


class Message(Item):
    def __init__(self, item_id: str) -> None:
        super().__init__(item_id)
        self._parts: list[dict[str, Any]] = []
        self._words: list[str] = []  # of the part that is open
        self._logprobs: list[Any] = []
        self._annotations: list[dict[str, Any]] = []

    def say(self, kind: str) -> list[Event]:
        """Make the open part one of this kind (`output_text`, `refusal`)."""
        if self._parts and self._parts[-1]["type"] == kind:
            return []
        events = self._close()
        part: dict[str, Any] = (
            {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
            if kind == "output_text"
            else {"type": "refusal", "refusal": ""}
        )
        self._parts.append(part)
        self._words, self._logprobs = [], []
        return [*events, {"type": "response.content_part.added", **self._place(), "part": part}]

    def delta(self, words: str, logprobs: Any) -> Event:
        self._words.append(words)
        event = {**self._place(), "delta": words}
        if self._parts[-1]["type"] == "refusal":
            return {"type": "response.refusal.delta", **event}
        told = _tokens(logprobs) if isinstance(logprobs, list) else _EMPTY
        self._logprobs += told
        return {"type": "response.output_text.delta", **event, "logprobs": told}

    def annotate(self, annotations: list[dict[str, Any]]) -> list[Event]:
        """Annotations of the last text, in this dialect's form."""
        place = next((at for at, part in enumerate(self._parts) if part["type"] == "output_text"), None)
        if place is None:
            return []
        self._annotations += annotations
        # the part has been shown as it was before
        self._parts[place] = {**self._parts[place], "annotations": self._annotations}
        where = {"item_id": self.id, "content_index": place}
        kind = "response.output_text.annotation.added"
        return [
            {"type": kind, **where, "annotation_index": index, "annotation": one}
            for index, one in enumerate(annotations)
        ]

    def finish(self) -> list[Event]:
        return self._close()

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "role": "assistant",
            "content": list(self._parts),
        }

    def _place(self) -> Event:
        return {"item_id": self.id, "content_index": len(self._parts) - 1}

    def _close(self) -> list[Event]:
        if not self._parts:
            return []
        said = "".join(self._words)
        kind = self._parts[-1]["type"]
        part: dict[str, Any]
        if kind == "refusal":
            part = {"type": "refusal", "refusal": said}
            done: Event = {"type": "response.refusal.done", **self._place(), "refusal": said}
        else:
            part = {**self._parts[-1], "logprobs": self._logprobs, "text": said}
            done = {"type": "response.output_text.done", **self._place(), "text": said, "logprobs": self._logprobs}
        self._parts[-1] = part
        return [done, {"type": "response.content_part.done", **self._place(), "part": part}]


def _tokens(logprobs: Iterable[Any]) -> list[dict[str, Any]]:
    """Probabilities as the chat API writes them; the bytes of a token must be there here."""
    return [
        {**_token(one), "top_logprobs": [_token(other) for other in one.get("top_logprobs") or () if _is_token(other)]}
        for one in logprobs
        if _is_token(one)
    ]


def _is_token(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("token"), str)


def _token(one: dict[str, Any]) -> dict[str, Any]:
    token, probability = one["token"], one.get("logprob")
    spelled = one.get("bytes")
    return {
        "token": token,
        "bytes": spelled if isinstance(spelled, list) else list(token.encode("utf-8", "replace")),
        "logprob": probability if isinstance(probability, int | float) else 0.0,
    }


class Reasoning(Item):
    """A thought, shown as its summary: the one form that every client gives back."""

    def __init__(self, item_id: str) -> None:
        super().__init__(item_id)
        self.encrypted = ""
        self._words: list[str] = []
        self._open = False

    def say(self) -> list[Event]:
        if self._open:
            return []
        self._open = True
        part = {"type": "summary_text", "text": ""}
        return [{"type": "response.reasoning_summary_part.added", **self._place(), "part": part}]

    def delta(self, words: str) -> Event:
        self._words.append(words)
        return {"type": "response.reasoning_summary_text.delta", **self._place(), "delta": words}

    def finish(self) -> list[Event]:
        if not self._open:
            return []
        said = "".join(self._words)
        part = {"type": "summary_text", "text": said}
        return [
            {"type": "response.reasoning_summary_text.done", **self._place(), "text": said},
            {"type": "response.reasoning_summary_part.done", **self._place(), "part": part},
        ]

    def shown(self) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": "".join(self._words)}] if self._words else []
        shown = {"id": self.id, "type": "reasoning", "status": self.status, "summary": summary}
        return {**shown, "encrypted_content": self.encrypted} if self.encrypted else shown

    def _place(self) -> Event:
        return {"item_id": self.id, "summary_index": 0}


class Calling(Item):
    """A call of a function or of a custom tool; `spaces` are the tools that stand in a namespace."""

    def __init__(self, item_id: str, call: ToolCall, spaces: Mapping[str, Place]) -> None:
        super().__init__(item_id)
        self.index, self.custom, self._spaces = call.index, call.custom, spaces
        self._looks = _MOST_LOOKS
        self._call_id, self._name = call.id or "call_" + item_id.partition("_")[2], call.name
        self._said: list[str] = []

    def take(self, call: ToolCall) -> Event | None:
        """A piece of the call."""
        self._name = self._name or call.name
        if not call.arguments:
            return None
        self._said.append(call.arguments)
        return {"type": f"response.{self._what}.delta", "item_id": self.id, "delta": call.arguments}

    @property
    def whole(self) -> bool:
        """Of a custom tool nobody knows it. A look reads all that was said, so there are not many."""
        if self.custom or not self._said or not self._said[-1].rstrip().endswith("}") or not self._looks:
            return False
        self._looks -= 1
        try:
            _decode("".join(self._said))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return False
        return True

    @property
    def _what(self) -> str:
        return "custom_tool_call_input" if self.custom else "function_call_arguments"

    def finish(self) -> list[Event]:
        said = "".join(self._said)
        told: Event = {"input": said} if self.custom else {"arguments": said, "name": self._called()["name"]}
        return [{"type": f"response.{self._what}.done", "item_id": self.id, **told}]

    def shown(self) -> dict[str, Any]:
        kind, member = ("custom_tool_call", "input") if self.custom else ("function_call", "arguments")
        return {
            "id": self.id,
            "type": kind,
            "status": self.status,
            member: "".join(self._said),
            "call_id": self._call_id,
            **self._called(),
        }

    def _called(self) -> dict[str, str]:
        place = self._spaces.get(self._name)
        return {"name": self._name} if place is None else place._asdict()
