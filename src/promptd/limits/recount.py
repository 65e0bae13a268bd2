"""What budgets have used of their period, from the sums that the ledger keeps in the same transactions as its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from promptd.core import budgets
from promptd.core.keys import OWN
from promptd.core.policy import Policy
from promptd.core.ports import Ledger
from promptd.core.usage import Dimension, Sums, UsageQuery
from promptd.limits.persistent import Recount

_DAY: Final = 86_400
_DIMENSIONS: Final = {
    "user": Dimension.USER,
    "key": Dimension.KEY,
    "team": Dimension.TEAM,
    "model": Dimension.MODEL,
}


def recount_from(ledger: Ledger, sharing: Callable[[str], Sequence[str]]) -> Recount:
    """Exactly what is on disk. Of a budget that counts by a header: of the prompts that came since it was set.

    `sharing` names the keys that use up the own limits of a key.
    """

    async def recount(policy: Policy, subject: str, now: float) -> int | None:
        if policy.period is None:
            return None
        begin, end = budgets.bounds(policy.period, now)
        since, until = int(begin) // _DAY, int(end) // _DAY - 1
        if policy.header is not None:
            counted = await ledger.counted(policy.header, subject, since=since, until=until)
            return sum(_amount(policy, sums) for model, sums in counted.items() if policy.counts(model))
        dimension = _DIMENSIONS.get(policy.scope)
        subjects = sharing(subject) if policy.name.startswith(OWN) else (subject,)
        used = 0
        for one in subjects:
            query = UsageQuery(
                by=(Dimension.MODEL,),
                since=since,
                until=until,
                only={} if dimension is None else {dimension: one},
            )
            while True:
                report = await ledger.report(query)
                used += sum(_amount(policy, line.sums) for line in report.lines if policy.counts(str(line.group[0])))
                if report.after is None:
                    break
                query = replace(query, after=report.after)
        return used

    return recount


def _amount(policy: Policy, sums: Sums) -> int:
    match policy.metric:
        case "requests":
            return sums.requests
        case "input_tokens":
            return sums.input_tokens
        case "output_tokens":
            return sums.output_tokens
        case "tokens":
            return sums.input_tokens + sums.output_tokens
        case _:
            return sums.cost
