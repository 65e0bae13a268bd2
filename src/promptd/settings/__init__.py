"""Every setting in one frozen object, read once at start from defaults, `promptd.yaml` and `PROMPTD_*`."""

from promptd.settings.explain import explain, suggestion
from promptd.settings.load import load
from promptd.settings.model import (
    ConnectionSettings,
    GuardSettings,
    HistorySettings,
    KeysSettings,
    LimitSettings,
    LogSettings,
    ModelSettings,
    PatternSettings,
    PriceSettings,
    QueueSettings,
    RetentionSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    StoreSettings,
    StreamsSettings,
)

__all__ = [
    "ConnectionSettings",
    "GuardSettings",
    "HistorySettings",
    "KeysSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PatternSettings",
    "PriceSettings",
    "QueueSettings",
    "RetentionSettings",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "StreamsSettings",
    "explain",
    "load",
    "suggestion",
]
