"""Metrics under the names of the original (contracts/arch.md §7), beside those of the house; only where they are wished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from promptd import __version__
from promptd.core.model import Attempt, Outcome, Usage

_SECONDS: Final = (0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_MILLISECONDS: Final = tuple(one * 1000 for one in _SECONDS)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144)
_RATES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_TIMEOUTS: Final = frozenset({"timeout"})
_CONNECT: Final = frozenset({"network_error", "service_unavailable", "rate_limited"})
_PARSE: Final = frozenset({"invalid_output", "output_truncated"})


class Metrics:
    """Of all listeners of a file. Names of the older eras have the prefix that their statistics had."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"brightstaff_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"brightstaff_{name}", text, labels, registry=registry, buckets=_SECONDS)

        def older(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(f"wasmcustom_{name}", text, registry=registry, buckets=buckets)

        self.requests = counter("http_requests_total", "Requests", "handler", "method", "status_class")
        self.request_seconds = seconds("http_request_duration_seconds", "Length of requests", "handler")
        self.in_flight = Gauge("brightstaff_http_in_flight_requests", "Requests under way", registry=registry)
        self.upstream = counter(
            "llm_upstream_requests_total", "Calls of providers", "provider", "model", "status_class", "error_class"
        )
        self.upstream_seconds = seconds("llm_upstream_duration_seconds", "Length of calls", "provider", "model")
        self.first_token = seconds("llm_time_to_first_token_seconds", "Until the first token", "provider", "model")
        self.tokens = counter("llm_tokens_total", "Tokens as providers count them", "provider", "model", "kind")
        self.uncounted = counter("llm_tokens_usage_missing_total", "Answers without counts", "provider", "model")
        self.decisions = counter("router_decisions_total", "Decisions", "route", "selected_model", "fallback")
        self.decision_seconds = seconds("router_decision_duration_seconds", "Length of decisions")
        self.skips = counter("router_skips_total", "Requests without a decision")
        self.routing_requests = counter("routing_service_requests_total", "Requests for a decision only")
        self.sessions = counter("session_cache_events_total", "Pinned conversations", "event")
        Gauge("brightstaff_build_info", "Version", ["version"], registry=registry).labels(__version__).set(1)
        self.active_calls = Gauge("wasmcustom_active_http_calls", "Calls under way", registry=registry)
        self.ratelimited = Counter("wasmcustom_ratelimited_rq", "Requests that a limit refused", registry=registry)
        self._first = older("time_to_first_token", "Milliseconds until the first token", _MILLISECONDS)
        self._each = older("time_per_output_token", "Milliseconds per token of output", _MILLISECONDS)
        self._rate = older("tokens_per_second", "Tokens of output per second", _RATES)
        self._latency = older("request_latency", "Milliseconds of a call", _MILLISECONDS)
        self._output = older("output_sequence_length", "Tokens of output", _TOKENS)
        self._input = older("input_sequence_length", "Tokens of input", _TOKENS)

    def began(self) -> None:
        """A request has come."""
        self.in_flight.inc()

    def ended(self, handler: str, method: str, status: int, seconds: float) -> None:
        """… and is over."""
        self.in_flight.dec()
        self.requests.labels(handler, method, _status_class(status)).inc()
        self.request_seconds.labels(handler).observe(seconds)

    def called(self, attempt: Attempt, provider: str, model: str, status: int) -> None:
        """A provider was called."""
        failed = error_class(attempt)
        self.upstream.labels(provider, model, _status_class(status), failed).inc()
        if attempt.finished is None:
            return
        seconds = attempt.finished - attempt.started
        self.upstream_seconds.labels(provider, model).observe(seconds)
        if attempt.outcome is not Outcome.COMPLETED:
            return
        usage = attempt.usage
        first = seconds if attempt.first_token is None else attempt.first_token - attempt.started
        self.first_token.labels(provider, model).observe(first)
        self._first.observe(first * 1000)
        self._latency.observe(seconds * 1000)
        if usage == Usage():
            self.uncounted.labels(provider, model).inc()
            return
        kinds = {
            "prompt": usage.input_tokens,
            "completion": usage.output_tokens,
            "cache_read": usage.cached_tokens,
            "cache_write": usage.cache_write_tokens,
        }
        for kind, count in kinds.items():
            if count:
                self.tokens.labels(provider, model, kind).inc(count)
        self._input.observe(usage.input_tokens)
        self._output.observe(usage.output_tokens)
        if usage.output_tokens and seconds > 0:
            self._rate.observe(usage.output_tokens / seconds)
            self._each.observe(max(0.0, seconds - first) * 1000 / usage.output_tokens)


def error_class(attempt: Attempt) -> str:
    """How a call failed, in the original's words."""
    if attempt.outcome is Outcome.COMPLETED:
        return "none"
    code = attempt.code or ""
    if attempt.first_token is not None:
        return "stream"
    for name, codes in (("timeout", _TIMEOUTS), ("connect", _CONNECT), ("parse", _PARSE)):
        if code in codes:
            return name
    return "other"


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if status else "none"
