"""From a function model's reply to a decision (contracts/arch.md §5.3)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from promptd.core.targets import Asking, Decision, Target
from promptd.core.utterances.dialogue import asked_in, question
from promptd.core.utterances.replies import Reply
from promptd.core.utterances.schemas import check


class Decided(Struct, frozen=True):
    """`warning` is for logs: what of the reply was not followed. It quotes nothing that the model or the user said."""

    decision: Decision
    warning: str = ""


def decided(reply: Reply, targets: Sequence[Target], asking: Asking) -> Decided:
    """The first call, where it fits its target; else a question, where the model asks one; else no intent."""
    if reply.calls:
        return _called(reply, targets, asking)
    if reply.functions or reply.clarification:
        target = next((one for name in reply.functions for one in targets if one.name == name), None)
        return Decided(_asks(reply, target, reply.clarification, targets))
    if not reply.form and "?" in reply.response and asked_in(reply.response, targets):
        running = next((one for one in targets if one.name == asking.running), None)
        return Decided(_asks(reply, running, reply.response, targets))
    return Decided(Decision(raw=reply.raw))


def _called(reply: Reply, targets: Sequence[Target], asking: Asking) -> Decided:
    """With values missing they are asked for; any other fault is no intent."""
    call = reply.calls[0]
    target = next((one for one in targets if one.name == call.name), None)
    if target is None:
        return Decided(Decision(raw=reply.raw), "the function model called a function that does not exist")
    if call.arguments is None:
        return Decided(Decision(raw=reply.raw), f"the arguments for {target.name} are no JSON object")
    checked = check(target, call.arguments)
    if checked.fault:
        return Decided(Decision(raw=reply.raw), f"the arguments for {target.name} do not fit it")
    decision = Decision(
        target=target.name,
        arguments=checked.arguments,
        missing=checked.missing,
        question=question(checked.missing) if checked.missing else "",
        raw=reply.raw,
        changed=bool(asking.running and asking.running != target.name),
    )
    more = len(reply.calls) > 1
    return Decided(decision, f"the function model wants {len(reply.calls)} calls; the first is made" if more else "")


def _asks(reply: Reply, target: Target | None, text: str, targets: Sequence[Target]) -> Decision:
    """The model's own question, or the house's where it has none."""
    required = tuple([one.name for one in target.parameters if one.required]) if target else ()
    named = asked_in(text, [target] if target else targets)
    open_ = tuple([name for name in named if not required or name in required]) or required
    if not text and not open_:
        return Decision(raw=reply.raw)
    name = target.name if target else None
    return Decision(target=name, missing=open_, question=text or question(open_), raw=reply.raw)
