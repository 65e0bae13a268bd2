"""What a listener knows of one request on its way through: for its log line, its limits and the choice of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from promptd.core.errors import EXECUTION_CODES, ExecutionFailed
from promptd.core.limits import Reservation
from promptd.core.model import Attempt, Outcome, Submission
from promptd.core.preferences import Latencies, Preference
from promptd.faces.arch.access_log import Entry
from promptd.faces.arch.metrics import Metrics
from promptd.faces.arch.models import Chosen
from promptd.faces.gateway import Ask
from promptd.service.connections import Connections

KEY: Final = "promptd.arch"  #: in the request's scope


class _Tried(NamedTuple):
    """Whom a call goes to."""

    chosen: Chosen
    host: str


class Passage:
    """One request."""

    __slots__ = ("_tried", "entry", "held", "preferences")

    def __init__(self) -> None:
        self.entry = Entry()
        self.preferences: tuple[Preference, ...] | None = None  #: its own, in place of the file's
        #: what limits took for it, by the identity of the submission, which is kept so that no other one gets it
        self.held: dict[int, tuple[Submission, Reservation]] = {}
        self._tried: dict[tuple[str, str], _Tried] = {}

    def note(self, models: Sequence[Chosen], connections: Connections) -> None:
        """These may be asked."""
        for chosen in models:
            route = connections.route(chosen.name)
            for leg in route.legs if route is not None else ():
                connection = connections.get(leg.connection)
                host = _host(chosen, connection.config if connection is not None else None)
                self._tried.setdefault((leg.connection, leg.upstream), _Tried(chosen, host))

    def tell(self, attempt: Attempt, latencies: Latencies, metrics: Metrics | None) -> None:
        """One was asked."""
        entry, tried = self.entry, self._tried.get((attempt.connection, attempt.model))
        entry.attempts += 1
        seconds = (attempt.finished or attempt.started) - attempt.started
        entry.upstream_ms = (entry.upstream_ms or 0) + int(seconds * 1000)
        entry.cluster = tried.chosen.provider.name if tried is not None else attempt.connection
        entry.upstream = tried.host if tried is not None else ""
        done = attempt.outcome is Outcome.COMPLETED
        if done and tried is not None:
            latencies.add(tried.chosen.name, (attempt.first_token or attempt.started + seconds) - attempt.started)
        if metrics is not None:
            status = 200 if done else EXECUTION_CODES.get(attempt.code or "", ExecutionFailed).http_status
            # what clients call a model that only a wildcard knows is without number
            named = tried is not None and not tried.chosen.provider.wildcard
            metrics.called(attempt, entry.cluster, attempt.model if named else "*", status)


def passage_of(ask: Ask) -> Passage:
    """The one of the request."""
    found: Passage = ask.scope.setdefault(KEY, Passage())
    return found


def _host(chosen: Chosen, config: Any) -> str:
    """Host and port of the provider, as far as the file or its engine says them."""
    for given in (chosen.provider.base_url, getattr(config, "base_url", None)):
        if isinstance(given, str) and given:
            return urlsplit(given).netloc
    return chosen.provider.vendor
