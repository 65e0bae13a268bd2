"""The guards of the house, asked for every prompt: what callers wrote and tools gave back before it is stored, documents
and answers while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.errors import ContentRefused, NotFound, Unavailable
from promptd.core.guarding import Action, Redactor, Stage, Subject, listener_of
from promptd.core.model import Caller, Capability, Judgement, Prompt, Request, Submission, Verdict
from promptd.core.rewriting import rewrite
from promptd.core.texts import names_twice, request_turns
from promptd.service.clock import Clock
from promptd.service.guarding.asking import GuardFailed, ask, redact
from promptd.service.guarding.checks import NOTHING, Check, Checks, Plan
from promptd.service.guarding.judging import AT_THE_DOOR, AT_WORK, Judging
from promptd.service.guarding.watch import Watch
from promptd.service.metrics import Metrics

if TYPE_CHECKING:
    from promptd.service.runs import Run
    from promptd.service.tracing import Tracing

Names = Callable[[], Sequence[str]]
"""The name that a prompt's model was called by, and those that it leads to; asked only where a check wants to know."""


class Opinion(Struct, frozen=True):
    """What a check thinks of a text that somebody tries out."""

    check: str
    stage: Stage
    outcome: str  #: as in `Judgement`, or `failed`
    action: Action
    verdict: Verdict
    text: str | None  #: what would go on, where something was replaced
    seconds: float


class Guarding:
    """One instance for all of the service. Another set of `checks` counts from the next prompt, and the next attempt, on."""

    def __init__(self, checks: Checks, metrics: Metrics, clock: Clock) -> None:
        self.checks, self._metrics, self._clock = checks, metrics, clock
        self.tracing: Tracing | None = None  #: where somebody wants to see what was done when

    # ---------------------------------------------------------------- which checks

    def plan(self, submission: Submission, names: Names) -> Plan:
        """The checks of a prompt that comes in."""
        if not self.checks or submission.unguarded:
            return NOTHING
        if not self.checks.selects:
            return self.checks.all
        caller, template = submission.caller, submission.request.template
        subject = Subject(
            models=tuple(names()),
            user=caller.user,
            key=caller.key,
            team=caller.team,
            template=template.template if template is not None else "",
            listener=submission.listener or listener_of(caller.user),
        )
        return self.checks.plan(subject)

    def plan_of(self, prompt: Prompt, names: Names) -> Plan:
        """The checks of a stored prompt."""
        if not self.checks.selects:
            return self.checks.all
        template = prompt.request.template
        subject = Subject(
            models=tuple(names()),
            user=prompt.user,
            key=prompt.key,
            team=prompt.team,
            template=template.template if template is not None else "",
            listener=listener_of(prompt.user),
        )
        return self.checks.plan(subject)

    # ---------------------------------------------------------------- before a prompt is there

    async def admit(self, submission: Submission, plan: Plan) -> tuple[Submission, tuple[Judgement, ...]]:
        """The submission as it may be stored and sent: without what was replaced, and then without its native bytes.

        Raises `ContentRefused`, `Unavailable` where a guard fails.
        """
        native = submission.native
        body = native.body if native is not None else b""
        if plan.request and body and names_twice(body):
            submission = replace(submission, native=None)  # what is sent must be what was judged
        request, told = await self._admit(submission.request, body, plan, submission.caller)
        if request is not submission.request:
            submission = replace(submission, request=request, native=None)
        return submission, told

    async def inspect(
        self, turns: Sequence[Turn], subject: Subject, caller: Caller
    ) -> tuple[tuple[Turn, ...], tuple[Judgement, ...]]:
        """Turns that are to go into a conversation, such as what an API answered (of role `tool`), as they may.

        Raises `ContentRefused`, `Unavailable` where a guard fails.
        """
        request, told = await self._admit(Request(messages=tuple(turns)), b"", self.checks.plan(subject), caller)
        return request.messages, told

    async def _admit(
        self, request: Request, body: bytes, plan: Plan, caller: Caller
    ) -> tuple[Request, tuple[Judgement, ...]]:
        try:
            turns = request_turns(request, body)
        except Exception as error:  # what can't be spelled out can't be judged
            raise Unavailable("the guard failed; nothing is let through", detail=repr(error)) from error
        judging = Judging(self._metrics, AT_THE_DOOR, [], caller.user, "", self._trace())
        tools = False
        for turn in turns:  # a generator costs more than the loop, and most prompts come along here
            if turn.role == "tool":
                tools = True
        for check in plan.request:
            redactor = check.redactor
            if redactor is None and not tools and check.reads_input:
                await judging.skim(check, turns)
                continue
            shares = _shares(check, turns)
            if not shares:
                continue
            if redactor is None:
                await judging.look(check, shares)
                continue
            found = {}
            for stage, share in shares.items():
                found[stage] = await judging.redact(check, redactor, stage, [turn.content for turn in share])
            if any(found.values()):
                request = _without(request, redactor, tool=Stage.TOOL in found, rest=Stage.INPUT in found)
                turns = request_turns(request)
                for stage, share in _shares(check, turns).items():
                    left = await judging.redact(check, redactor, stage, [turn.content for turn in share])
                    if left:  # in a name, a schema or an address, or across two parts: it can't be replaced there
                        judging.refuse(check, stage, ", ".join(sorted(left)), sorted(left))
            for stage, one in found.items():
                judging.redacted(check, stage, one)
        return request, tuple(judging.told)

    # ---------------------------------------------------------------- while it runs

    async def documents(self, run: Run, texts: Sequence[str]) -> tuple[tuple[Check, Redactor], ...]:
        """What was read in documents is judged only now. Who would replace something in it.

        Raises `ContentFiltered`, `ServiceUnavailable` where a guard fails.
        """
        judging = self._at_work(run)
        redactors: list[tuple[Check, Redactor]] = []
        turns = [Turn("user", text) for text in texts if text]
        for check in run.plan.input if turns else ():
            redactor = check.redactor
            if redactor is None:
                await judging.look(check, {Stage.INPUT: turns})
                continue
            found = await judging.redact(check, redactor, Stage.INPUT, [turn.content for turn in turns])
            judging.redacted(check, Stage.INPUT, found)
            if found:
                redactors.append((check, redactor))
        return tuple(redactors)

    def watch(self, run: Run) -> Watch | None:
        """Who reads the answer of an attempt before anybody else; None where nobody does."""
        prompt = run.prompt
        if not run.plan.output or prompt.capability is Capability.EMBEDDING:  # there are no words in vectors
            return None
        # where the answer has a form, its values are judged too, which may spell the same text in another way
        whole = prompt.request.output is not None or prompt.request.value is not None
        return Watch(self._at_work(run), run.plan, whole=whole)

    def _at_work(self, run: Run) -> Judging:
        return Judging(self._metrics, AT_WORK, run.judgements, run.prompt.user, run.prompt.id, self._trace())

    def _trace(self) -> Callable[[Judgement], None] | None:
        """Puts judgements into the trace of the work in hand, each with the time since the one before."""
        tracing, begun = self.tracing, self._clock() if self.tracing is not None else 0.0
        if tracing is None:
            return None

        def tell(one: Judgement) -> None:
            nonlocal begun
            told = {"check": one.check, "stage": one.stage, "outcome": one.outcome, "score": one.score}
            told["categories"] = ",".join(one.categories)
            attributes = {f"promptd.guard.{name}": value for name, value in told.items()}
            error = ContentRefused.code if one.outcome == "refused" else ""
            tracing.part("guard", f"guard {one.check}", begun, attributes, error)
            begun = self._clock()

        return tell

    # ---------------------------------------------------------------- trying out

    async def opinions(self, text: str, stage: Stage | None = None, name: str | None = None) -> tuple[Opinion, ...]:
        """What each check, or the one of that name, thinks of a text. Nothing is counted. Raises `NotFound`."""
        checks = [check for check in self.checks if name in (None, check.name)]
        if name is not None and not checks:
            raise NotFound(f"there is no check {name[:200]!r}")
        wanted = [(check, one) for check in checks for one in sorted(check.stages) if stage in (None, one)]
        return tuple([await _opinion(check, one, text) for check, one in wanted])


_ROLES: Mapping[Stage, str] = {Stage.INPUT: "user", Stage.TOOL: "tool", Stage.OUTPUT: "assistant"}


async def _opinion(check: Check, stage: Stage, text: str) -> Opinion:
    begun = perf_counter()
    fixed: str | None = None
    try:
        verdict = await ask(check.guard, [Turn(_ROLES[stage], text)], check.seconds)  # type: ignore[arg-type]
        if check.redactor is not None and not verdict.allowed:
            fixed = (await redact(check.redactor, [text], check.seconds))[0].text
        outcome = "allowed" if verdict.allowed else _OUTCOMES[check.action]
    except GuardFailed as error:
        verdict, outcome = Verdict(False, f"the guard failed: {type(error.__cause__ or error).__name__}"), "failed"
    return Opinion(check.name, stage, outcome, check.action, verdict, fixed, perf_counter() - begun)


_OUTCOMES: Mapping[Action, str] = {
    Action.REFUSE: "refused",
    Action.REDACT: "redacted",
    Action.RECORD: "recorded",
}


def _shares(check: Check, turns: tuple[Turn, ...]) -> dict[Stage, Sequence[Turn]]:
    """What a check looks at, by stage; no stage without text."""
    asks, tools = Stage.INPUT in check.stages, Stage.TOOL in check.stages
    if not any(turn.role == "tool" for turn in turns):
        return {Stage.INPUT: turns} if asks and turns else {}
    found: dict[Stage, Sequence[Turn]] = {}
    if asks and (rest := [turn for turn in turns if turn.role != "tool"]):
        found[Stage.INPUT] = rest
    if tools:
        found[Stage.TOOL] = [turn for turn in turns if turn.role == "tool"]
    return found


def _without(request: Request, redactor: Redactor, *, tool: bool, rest: bool) -> Request:
    """Raises `ContentRefused` for what is nested too deep."""
    try:
        return rewrite(request, lambda text: redactor.redact(text).text, tool=tool, rest=rest)
    except RecursionError:
        raise ContentRefused("values that are nested so deep can't be redacted", reason="depth") from None
