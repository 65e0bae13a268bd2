"""Every setting in one frozen object, read from defaults, `promptd.yaml` and `PROMPTD_*` at the start and by a reload."""

from promptd.settings.changes import LIVE, Changes, compare
from promptd.settings.explain import explain, suggestion
from promptd.settings.load import load
from promptd.settings.model import Settings
from promptd.settings.plugins import PluginSettings
from promptd.settings.sections import (
    GuardSettings,
    HistorySettings,
    KeysSettings,
    LimitSettings,
    LogSettings,
    PatternSettings,
    PriceSettings,
    QueueSettings,
    RetentionSettings,
    RetrySettings,
    ServerSettings,
    StoreSettings,
    StreamsSettings,
)
from promptd.settings.sources import ConnectionSettings, ModelSettings

__all__ = [
    "LIVE",
    "Changes",
    "ConnectionSettings",
    "GuardSettings",
    "HistorySettings",
    "KeysSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PatternSettings",
    "PluginSettings",
    "PriceSettings",
    "QueueSettings",
    "RetentionSettings",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "StreamsSettings",
    "compare",
    "explain",
    "load",
    "suggestion",
]
