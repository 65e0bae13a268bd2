"""Guards of a stranger that do what guards should not, on a word."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field, SecretStr

from promptd.plugins import Config, GuardTools, Redacted, Turn, Verdict

#: what is no verdict, or has something in it that is none
_SAID: dict[str, Any] = {
    "none": None,
    "true": True,
    "nan": Verdict(True, "", float("nan")),
    "much": Verdict(True, "", 7.0),
    "yes": Verdict("yes"),  # type: ignore[arg-type]
    "odd": Verdict(True, categories={"x": "y"}),  # type: ignore[dict-item]
    "many": Verdict(True, categories=dict.fromkeys(map(str, range(2_000)), 0.5)),
    "long": Verdict(True, categories={"x" * 2_000: 0.5}),
}


class StrangeConfig(Config):
    word: str = Field("bad", description="What is refused.")
    other: str = Field("worst", alias="other-word", description="What is refused as well.")
    key: SecretStr = Field(SecretStr(""), description="What it tells where it should not.")


class Strange:
    """Refuses a word; each of the others is a way to fail."""

    config_class = StrangeConfig
    reach = 20

    def __init__(self, config: StrangeConfig, tools: GuardTools) -> None:
        self._word, self._other, self._tools = config.word, config.other, tools
        self._key = config.key.get_secret_value()

    async def inspect(self, turns: Sequence[Turn]) -> Any:
        text = " ".join(turn.content for turn in turns)
        match text.split()[0]:
            case "pid":
                return Verdict(False, str(os.getpid()), 0.5)
            case "exit":
                raise SystemExit(0)
            case "interrupt":
                raise asyncio.CancelledError
            case "group":
                raise BaseExceptionGroup("all", [SystemExit(1), GeneratorExit()])
            case "hang":
                await asyncio.Event().wait()
            case "clasp":
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        continue
            case "block":
                time.sleep(3600)
            case "die":
                os._exit(3)
            case "log" | "quote" as how:
                return self._tell(how)
            case "tool":
                await self._tools.ask("main", turns)
        if text in _SAID:
            return _SAID[text]
        refused = self._word in text or self._other in text
        return Verdict(not refused, self._word if refused else "", 0.9 if refused else 0.0, {})

    def _tell(self, how: str) -> Verdict:
        if how == "quote":
            return Verdict(False, f"401 for {self._key}", 1.0)
        logging.getLogger("strange").error("the key is %s", self._key)
        return Verdict(True)


class Careless(Strange):
    """Also replaces the word, and fails at that."""

    def redact(self, text: str) -> Any:
        match text.split()[0]:
            case "exit":
                raise SystemExit(0)
            case "none":
                return None
            case "number":
                return Redacted(5)  # type: ignore[arg-type]
            case "nan":
                return Redacted(text, {"x": float("nan")})  # type: ignore[dict-item]
        return Redacted(text.replace(self._word, "[X]"), {"x": 1} if self._word in text else {})
