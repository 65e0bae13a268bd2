"""Where spans go."""

from promptd.telemetry.otlp import OtlpSpans

__all__ = ["OtlpSpans"]
