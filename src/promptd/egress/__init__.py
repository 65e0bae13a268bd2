"""Egress: the one way out, with one policy."""

from promptd.egress.client import Egress

__all__ = ["Egress"]
