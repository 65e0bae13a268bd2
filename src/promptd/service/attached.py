"""Attached prompts: they live with their caller's connection, and their one row follows the answer.

Same slots, limits and ledger as queued ones; only the storing differs.
"""

from __future__ import annotations

from promptd.core.model import Submission
from promptd.core.ports import Bus
from promptd.service.clock import Clock, Entropy
from promptd.service.execution import Execution
from promptd.service.intake import Intake
from promptd.service.metrics import Metrics
from promptd.service.router import Router
from promptd.service.visit import Visit
from promptd.service.worker import Worker
from promptd.service.write_behind import WriteBehind


class Attached:
    """Runs prompts whose caller waits."""

    def __init__(
        self,
        *,
        bus: Bus,
        intake: Intake,
        execution: Execution,
        worker: Worker,
        router: Router,
        ledger: WriteBehind,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self.bus, self.intake, self.execution, self.worker = bus, intake, execution, worker
        self.router, self.ledger, self.metrics = router, ledger, metrics
        self.clock, self.entropy = clock, entropy

    def open(self, submission: Submission) -> Visit:
        """To be entered with `async with`: that admits the prompt and takes a slot. Raises a `Refusal` there."""
        return Visit(self, submission)

    async def flush(self) -> None:
        """Wait until every finished prompt is written."""
        await self.ledger.flush()
