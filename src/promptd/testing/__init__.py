"""Shipped for people who write engines, stores and buses: the exams their classes inherit, and an engine on script."""

from promptd.testing.conformance import Finding, NotConforming, Samples, assert_conforms, conformance_tests
from promptd.testing.fake_http import FAILURES, FakeHttp, Reply, Sent

__all__ = [
    "FAILURES",
    "FakeHttp",
    "Finding",
    "NotConforming",
    "Reply",
    "Samples",
    "Sent",
    "assert_conforms",
    "conformance_tests",
]
