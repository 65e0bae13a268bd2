"""Strangers' engines apart from the host: in threads of their own, or in a process of their own."""

from promptd.isolation.house import Isolation
from promptd.isolation.importing import ImportFailed, within
from promptd.isolation.rules import Mode, Rules, normal

__all__ = ["ImportFailed", "Isolation", "Mode", "Rules", "normal", "within"]
