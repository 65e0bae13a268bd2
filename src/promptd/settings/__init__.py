"""Every setting in one frozen object, read from defaults, `promptd.yaml` and `PROMPTD_*` at the start and by a reload."""

from promptd.settings.changes import LIVE, Changes, compare
from promptd.settings.explain import explain, suggestion
from promptd.settings.guards import CheckSettings, GuardSettings, PatternSettings
from promptd.settings.load import arch_file, load
from promptd.settings.model import Settings
from promptd.settings.plugins import PluginSettings
from promptd.settings.sections import (
    HistorySettings,
    KeysSettings,
    LimitSettings,
    LogSettings,
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
    "CheckSettings",
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
    "arch_file",
    "compare",
    "explain",
    "load",
    "suggestion",
]
