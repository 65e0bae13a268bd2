"""Attached prompts: they live with their caller's connection, and their one row follows the answer.

Same slots, limits and ledger as queued ones; only the storing differs.
"""

from __future__ import annotations

from promptd.core.model import Submission
from promptd.service.visit import Host, Visit


class Attached(Host):
    """Runs prompts whose caller waits."""

    def open(self, submission: Submission) -> Visit:
        """To be entered with `async with`: that admits the prompt and takes a slot. Raises a `Refusal` there."""
        return Visit(self, submission)

    async def flush(self) -> None:
        """Wait until every finished prompt is written."""
        await self.ledger.flush()
