"""The stored form of a configuration, and the report of reading one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from promptd.core.configs.files import StoredFile
from promptd.core.localisation import Text

JSON = "application/json"
MAX_ISSUES = 500

IssueKind = Literal["unreadable", "newer_version", "migration_failed", "unknown_field", "invalid_value", "required"]
Status = Literal["clean", "adjusted", "incomplete", "unreadable"]


@dataclass(frozen=True)
class SerializedConfig:
    """A configuration as it is stored: bytes whose format is the handler's business, and files by slot."""

    data: bytes
    content_type: str = JSON
    version: int | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)


class LoadIssue(Struct, frozen=True):
    """One thing that did not load as it was stored. `path` is empty for the whole; no secret's value is in it."""

    kind: IssueKind
    path: str
    message: Text


@dataclass
class LoadReport:
    """Filled while a configuration is read, and shown to the admin before a save makes losses final."""

    issues: list[LoadIssue] = field(default_factory=list)
    #: issues beyond the bound of `MAX_ISSUES`, which are only counted
    more: int = 0

    @property
    def status(self) -> Status:
        """`unreadable`: nothing could be read; `incomplete`: a required setting is empty; `adjusted`: anything else."""
        kinds = {issue.kind for issue in self.issues}
        if "unreadable" in kinds:
            return "unreadable"
        if "required" in kinds:
            return "incomplete"
        return "adjusted" if kinds else "clean"

    def note(self, kind: IssueKind, path: str, message: Text) -> None:
        """Add an issue. `message` must not hold a value of the configuration."""
        # an early flood must not hide what decides the status
        if len(self.issues) < MAX_ISSUES or kind not in {issue.kind for issue in self.issues}:
            self.issues.append(LoadIssue(kind, path, message))
        else:
            self.more += 1
