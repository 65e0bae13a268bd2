"""What an engine does not keep of the list of formcycle.md §6, and how that is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_SHOWN: Final = 300


@dataclass(frozen=True)
class Finding:
    """One promise that is not kept. `statement` is its number in the conformance list."""

    statement: int
    expected: str
    found: str

    def __str__(self) -> str:
        return f"§6.{self.statement}: expected {self.expected}\n      found {self.found}"


class Findings:
    """Collects findings, so that one run tells them all."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def expect(self, holds: bool, statement: int, expected: str, found: object = "the contrary") -> bool:
        """Note a finding unless `holds`; what `holds` was."""
        if not holds:
            finding = Finding(statement, expected, str(found)[:_SHOWN])
            if finding not in self.all:
                self.all.append(finding)
        return holds

    @contextmanager
    def guarded(self, statement: int, expected: str) -> Iterator[None]:
        """Whatever the engine's code raises inside is a finding, and the examination goes on behind it."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a handler may raise anything, and the next check must still run
            self.expect(False, statement, expected, said(error))


class NotConforming(AssertionError):
    """`findings` has each broken promise; the text has them all."""

    def __init__(self, name: str, findings: list[Finding]) -> None:
        self.findings = tuple(findings)
        count = f"{len(findings)} promise{'s' if len(findings) > 1 else ''}"
        lines = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(f"{name} does not keep {count} of the conformance list:\n{lines}")


def said(error: BaseException) -> str:
    """Kind and words of an error."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # how a stranger's error spells itself is the stranger's code
        return type(error).__name__
