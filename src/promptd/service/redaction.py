"""What engines say, without the secrets of their connection."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from promptd.core.configs import redact_text, secret_values
from promptd.core.errors import ConfigUnusable, PromptExecutionError

_LOG: Final = logging.getLogger("promptd.engines")
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MOST_TEXT: Final = 2000
_MOST_VALUES: Final = 5000
_DEEPEST: Final = 20


class RedactedLog(logging.LoggerAdapter[logging.Logger]):
    """A log for one connection: none of `secrets` gets into a message, its arguments or a traceback."""

    def __init__(self, secrets: Sequence[str], *, connection: str = "", logger: logging.Logger = _LOG) -> None:
        super().__init__(logger, {"connection": connection})
        self._secrets = tuple(secrets)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if not self.isEnabledFor(level):
            return
        try:
            text = str(msg) % args if args else str(msg)
        except Exception:  # as logging itself does: a wrong call must not end what it tells of
            text = str(msg)
        error = kwargs.pop("exc_info", None)
        if isinstance(error, BaseException):
            text += "\n" + "".join(traceback.format_exception(error))
        elif error:
            text += "\n" + traceback.format_exc()
        kwargs.pop("stack_info", None)
        self.logger.log(level, "%s", redact_text(text, self._secrets), extra=self._fields(kwargs.get("extra")))

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return redact_text(str(msg), self._secrets), kwargs

    def _fields(self, extra: Mapping[str, object] | None) -> dict[str, object]:
        shown = {name: redacted(value, self._secrets) for name, value in (extra or {}).items()}
        return {"action": "engine_log", **shown, **(self.extra or {})}


def spellings(*configs: BaseModel | None) -> tuple[str, ...]:
    """The secrets of settings, as they are and as they stand in addresses, in JSON and in a `repr`.

    Raises `ConfigUnusable` where they can't be known: then nothing of it may be told.
    """
    try:
        found = {secret for config in configs for secret in secret_values(config)}
    except Exception as error:  # the author's own serialisers run in there
        raise ConfigUnusable(f"the settings can't be searched for secrets ({type(error).__name__})") from None
    written = {
        form
        for secret in found
        for form in (
            secret,
            _escaped(secret),
            _escaped(secret).replace("%20", "+"),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        )
    }
    return tuple(sorted(written, key=lambda form: (-len(form), form)))


def withhold(error: PromptExecutionError, *configs: BaseModel | None) -> None:
    """Take the secrets of `configs` out of what an error tells. Where they can't be known, it tells its title only."""
    try:
        secrets = spellings(*configs)
    except ConfigUnusable:
        error.message, error.detail, error.native, error.answered = error.title, None, None, None
        error.args = (error.message,)
        return
    if not secrets:
        return
    error.message = redact_text(error.message, secrets)
    error.args = (error.message,)
    if error.detail is not None:
        error.detail = redact_text(error.detail, secrets)
    if error.native is not None:
        status, body = error.native
        text = body.decode("utf-8", "surrogateescape")
        error.native = (status, redact_text(text, secrets).encode("utf-8", "surrogateescape"))
    if error.answered is not None and error.answered.body is not None:
        text = error.answered.body.decode("utf-8", "surrogateescape")
        error.answered = error.answered._replace(body=redact_text(text, secrets).encode("utf-8", "surrogateescape"))


def _escaped(secret: str) -> str:
    """As it stands in the query of an address."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in secret.encode(errors="surrogatepass"))


def plain(text: str, secrets: Sequence[str]) -> str:
    """`text` for people: without the secrets, and not longer than anybody reads."""
    return redact_text(text, secrets)[:_MOST_TEXT]


def redacted(value: Any, secrets: Sequence[str]) -> Any:
    """A JSON value that an engine returned, without the secrets; what is no JSON, too deep or too much becomes None."""
    left = _MOST_VALUES

    def walk(item: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEEPEST:
            return None
        if isinstance(item, str):
            return redact_text(item, secrets)
        if isinstance(item, Mapping):
            return {redact_text(str(name), secrets): walk(inner, depth + 1) for name, inner in item.items()}
        if isinstance(item, list | tuple):
            return [walk(inner, depth + 1) for inner in item[: max(left, 0)]]
        if isinstance(item, float) and item - item != 0:
            return None
        return item if item is None or isinstance(item, bool | int | float) else None

    return walk(value, 0)
