"""Config models of connections and queries: settings, the stored form, the lenient load, secrets and files."""

from promptd.core.configs.files import ConfigFile, FilePlan, StoredFile, plan_files
from promptd.core.configs.loading import load
from promptd.core.configs.requiring import required_empty
from promptd.core.configs.secrets import (
    merge_secrets,
    redact,
    redact_data,
    redact_text,
    secret_paths,
    secret_states,
    secret_values,
)
from promptd.core.configs.serializing import serialize
from promptd.core.configs.settings import WIDGETS, setting
from promptd.core.configs.stored import LoadIssue, LoadReport, SerializedConfig

__all__ = [
    "WIDGETS",
    "ConfigFile",
    "FilePlan",
    "LoadIssue",
    "LoadReport",
    "SerializedConfig",
    "StoredFile",
    "load",
    "merge_secrets",
    "plan_files",
    "redact",
    "redact_data",
    "redact_text",
    "required_empty",
    "secret_paths",
    "secret_states",
    "secret_values",
    "serialize",
    "setting",
]
