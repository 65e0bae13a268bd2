"""Reads one prompt's events to their end, across broken connections and a restart of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from promptd.cli.client import Client, Refused, Reply, Unreachable, at
from promptd.cli.exits import CliError
from promptd.cli.sse import Event

ENDS: Final = frozenset({"done", "error"})

_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 5.0
_LONGEST_HINT: Final = 30.0
#: A connection that stood this long was a good one, though the prompt may have been silent all the while.
_STEADY: Final = 5.0

Opening = Callable[[], AbstractContextManager[Reply]]


class _Broken(CliError):
    """The stream ended before the prompt did."""


class Reader:
    """Follows a prompt. After a break it comes back with the last event id, so nothing is read twice or missed.

    It gives up when it had no good connection for `patience` seconds. `notice` hears about each break.
    """

    def __init__(self, client: Client, *, patience: float, notice: Callable[[str], None]) -> None:
        self._client, self._patience, self._notice = client, patience, notice
        self.prompt_id: str | None = None
        self._last_id = ""
        self.acknowledged = False  #: whether the server has the prompt for sure
        self._away_since: float | None = None
        self._tries = 0

    def submit(
        self, body: bytes, *, prompt_id: str | None, idempotency_key: str | None, path: str | None = None
    ) -> Iterator[Event]:
        """Submit and follow. `body` must hold `prompt_id` as its id, unless an idempotency key makes it repeatable.

        Raises `Refused`, `Unreachable`.
        """
        self.prompt_id = prompt_id
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        target = path or at("prompts")
        return self._events(lambda: self._client.stream("POST", target, body=body, headers=headers))

    def follow(self, prompt_id: str) -> Iterator[Event]:
        """Follow a prompt that exists. Raises `Refused`, `Unreachable`."""
        self.prompt_id, self.acknowledged = prompt_id, True
        return self._events(self._resume)

    def _resume(self) -> AbstractContextManager[Reply]:
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        return self._client.stream("GET", at("prompts", self.prompt_id or "", "events"), headers=headers)

    def _events(self, first: Opening) -> Iterator[Event]:
        connected = False
        while True:
            opening = self._resume if self.acknowledged else first
            opened = time.monotonic()
            hint: float | None = None
            cause: CliError
            try:
                with opening() as reply:
                    connected = self.acknowledged = True
                    self.prompt_id = reply.prompt_id or self.prompt_id
                    if reply.status == 204:
                        yield self._stored_end()
                        return
                    for event in reply.events():
                        self._arrived()
                        self._last_id = event.id or self._last_id
                        yield event
                        if event.kind in ENDS:
                            return
                    hint = None if reply.hint is None else min(reply.hint, _LONGEST_HINT)
                cause = _Broken("the stream broke off")
                if time.monotonic() - opened >= _STEADY:
                    self._arrived()
            except Unreachable as error:
                connected = connected or error.connected
                if not connected:
                    raise
                cause = error
            except Refused as error:
                if error.status not in (429, 503):
                    raise
                hint, cause, connected = error.retry_after, error, True
            self._wait(cause, hint)

    def _arrived(self) -> None:
        self._away_since, self._tries = None, 0

    def _wait(self, cause: CliError, hint: float | None) -> None:
        """Wait before the next try. Raises the cause where that would be beyond the patience."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        pause = hint if hint is not None else min(_FIRST_WAIT * 2**self._tries, _LONGEST_WAIT)
        self._tries += 1
        if now + pause > self._away_since + self._patience:
            raise self._given_up(cause)
        self._notice(f"{cause.message}; trying again in {pause:.1f} s")
        time.sleep(pause)

    def _given_up(self, cause: CliError) -> CliError:
        if isinstance(cause, _Broken):
            cause = Unreachable(cause.message, connected=True)
        if self.acknowledged and self.prompt_id:
            return CliError(
                f"{cause.message}; the prompt runs on: `promptd prompts follow {self.prompt_id}`", cause.exit_code
            )
        return cause

    def _stored_end(self) -> Event:
        """The end of a prompt whose events were all read but the connection broke before the last was understood."""
        prompt = self._client.call("GET", at("prompts", self.prompt_id or ""))
        answer, error = prompt.get("answer"), prompt.get("error")
        if answer is not None:
            kept = {name: answer.get(name) for name in ("finish_reason", "files")}
            return Event("done", self._last_id, kept)
        return Event("error", self._last_id, error or {"code": "cancelled", "message": "The prompt was cancelled"})
