"""Secrets of a connection, taken out of everything that a plugin says about itself (contracts/formcycle.md §6.43)."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from promptd.core.configs import secret_values

_HIDDEN: Final = "***"
_LONGEST: Final = 4000  # characters of a message that are kept
_SHORTEST: Final = 8  # characters of a line that is a secret of its own
_NEVER: Final = re.compile(r"(?!)")
_EVERYTHING: Final = re.compile(r".+", re.DOTALL)


class Redactor:
    """Replaces the secrets of some configurations, also where they are spelled as in an address or in JSON.

    In one pass, the longest first, so that a secret that holds another one goes as a whole. They are looked for when the
    first text comes: most calls have none.
    """

    __slots__ = ("_configs", "_pattern")

    def __init__(self, *configs: object) -> None:
        self._configs = [config for config in configs if isinstance(config, BaseModel)]
        self._pattern: re.Pattern[str] | None = None

    def __call__(self, text: object) -> str:
        """`text` without the secrets, and cut where it is too long to be read."""
        said = text if type(text) is str else _spelled(text)
        if self._configs:
            if self._pattern is None:
                self._pattern = _pattern(self._configs)
            said = self._pattern.sub(_HIDDEN, said)  # before the cut, which might leave half a secret
        return said if len(said) <= _LONGEST else said[:_LONGEST] + "…"


class RedactingLog(logging.LoggerAdapter[logging.Logger]):
    """`Call.log`: what a plugin logs, without the secrets of its connection."""

    def __init__(self, logger: logging.Logger, redact: Redactor) -> None:
        super().__init__(logger, {})
        self._redact = redact

    def log(self, level: int, msg: object, *args: object, exc_info: Any = None, **kwargs: Any) -> None:
        """`exc_info` is written as text; `extra` and the rest are dropped, because they could hold anything."""
        if not isinstance(level, int) or not self.isEnabledFor(level):
            return
        self.logger.log(level, "%s", self._redact(_formatted(msg, args) + _trace(exc_info)))


def _pattern(configs: Iterable[BaseModel]) -> re.Pattern[str]:
    try:
        forms = {form for config in configs for secret in secret_values(config) for form in _forms(secret)}
    except Exception:  # the author's own serialisers run in there; where the secrets can't be known, nothing is told
        return _EVERYTHING
    return re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form))))) if forms else _NEVER


def _forms(secret: str) -> set[str]:
    written = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    written.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    # of a key file, whoever prints line by line shows its lines
    written.update(line for line in secret.splitlines() if len(line) >= _SHORTEST)
    return {form for form in written if form}


def _formatted(msg: object, args: tuple[object, ...]) -> str:
    text = _spelled(msg)
    if not args:
        return text
    values: Any = args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
    try:
        return str(text % values)
    except Exception:  # arguments may not fit, and a stranger's object may raise anything when it is spelled
        return text


def _trace(exc_info: Any) -> str:
    if not exc_info:
        return ""
    try:
        if isinstance(exc_info, BaseException):
            return "\n" + "".join(traceback.format_exception(exc_info))
        return "\n" + traceback.format_exc()
    except Exception:  # as above
        return ""


def _spelled(thing: object) -> str:
    try:
        return str(thing)
    except Exception:  # as above
        return f"<{type(thing).__name__}>"
