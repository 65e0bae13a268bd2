"""The guards of the house, asked for every prompt: what callers wrote and tools gave back before it is stored, documents
and answers while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.errors import ContentFiltered, ContentRefused, NotFound, PromptExecutionError
from promptd.core.guarding import ALLOWED, Action, Redactor, Stage, Subject, listener_of
from promptd.core.model import Caller, Capability, Judgement, Prompt, Request, Submission, Verdict
from promptd.core.rewriting import rewrite
from promptd.core.texts import names_twice, request_turns
from promptd.service.clock import Clock
from promptd.service.guarding.asking import GuardFailed, ask, begin, redact
from promptd.service.guarding.checks import NOTHING, Check, Checks, Plan
from promptd.service.guarding.failures import change_failure, failure_turns, mute_failure
from promptd.service.guarding.judging import ANEW, AT_THE_DOOR, AT_WORK, Judging
from promptd.service.guarding.watch import Watch
from promptd.service.metrics import Metrics

if TYPE_CHECKING:
    from promptd.service.runs import Run
    from promptd.service.tracing import Tracing

_LARGE: Final = 65_536  # bytes or characters of one request; what takes longer for more of them is done in a thread
_MANY: Final = 500  # turns
Names = Callable[[], Sequence[str]]
"""The name that a prompt's model was called by, and those that it leads to; asked only where a check wants to know."""
Judged = tuple[Submission, Sequence[Judgement]]
"""A submission as it may go on, and what was said of it."""


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
        self._metrics, self._clock = metrics, clock
        self.checks = checks
        self.tracing: Tracing | None = None  #: where somebody wants to see what was done when

    @property
    def checks(self) -> Checks:
        return self._checks

    @checks.setter
    def checks(self, checks: Checks) -> None:
        self._checks, self._since = checks, self._clock()
        self.common = None if checks.selects else checks.all  #: the checks of every prompt that has any

    # ---------------------------------------------------------------- which checks

    def plan(self, submission: Submission, names: Names) -> Plan:
        """The checks of a prompt that comes in."""
        checks = self._checks
        if submission.unguarded:
            return NOTHING
        if not checks.selects:
            return checks.all
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

    def admit(self, submission: Submission, plan: Plan, plain: bool) -> Judged | Awaitable[Judged]:
        """The submission as it may be stored and sent: without what was replaced, and then without its native bytes.

        `plain`: as `core.texts.is_plain` says. Raises `ContentRefused`, `Unavailable` where a guard fails.
        """
        native, turns = submission.native, submission.request.messages
        if not (plain and plan.judges) or len(turns) > _MANY or self.tracing is not None:
            return self._admit(submission, plan)
        if native is not None and not native.once:
            if len(native.body) > _LARGE:
                return self._admit(submission, plan)
            if names_twice(native.body):
                submission = replace(submission, native=None)  # what is sent must be what was judged
        checks = iter(plan.request)
        for check in checks:
            begun: Verdict | Awaitable[Any] | GuardFailed
            try:
                begun = begin(check.guard, turns, check.at_once)
            except GuardFailed as error:
                begun = error
            if begun is not ALLOWED and (type(begun) is not Verdict or not begun.allowed):
                return self._rest(submission, plan, check, begun, checks)
            self._metrics.judged(check.seen)
        return submission, plan.fine

    async def _rest(
        self,
        submission: Submission,
        plan: Plan,
        check: Check,
        begun: Verdict | Awaitable[Any] | GuardFailed,
        others: Iterator[Check],
    ) -> Judged:
        """What `admit` leaves: a check that finds something or has to wait for it, and those behind it."""
        told = [*plan.fine[: plan.request.index(check)]]
        judging = Judging(self._metrics, AT_THE_DOOR, told, submission.caller.user)
        await judging.conclude(check, begun)
        for other in others:
            await judging.look(other, {Stage.INPUT: submission.request.messages})
        return submission, tuple(told)

    async def _admit(self, submission: Submission, plan: Plan) -> Judged:
        native = submission.native
        body = native.body if native is not None else b""
        if native is None or native.once:
            twice = False
        elif len(body) > _LARGE:
            twice = await asyncio.to_thread(names_twice, body)
        else:
            twice = names_twice(body)
        if twice:
            submission = replace(submission, native=None)
        judging = Judging(self._metrics, AT_THE_DOOR, [], submission.caller.user, "", self._trace())
        request = await self._judged(submission.request, body, plan, judging)
        if request is not submission.request:
            submission = replace(submission, request=request, native=None)
        return submission, tuple(judging.told)

    async def inspect(
        self, turns: Sequence[Turn], subject: Subject, caller: Caller, told: list[Judgement]
    ) -> tuple[Turn, ...]:
        """Turns that are to go into a conversation, such as what an API answered (of role `tool`), as they may.

        What the checks say is added to `told`. Raises `ContentRefused`, `Unavailable` where a guard fails.
        """
        judging = Judging(self._metrics, AT_THE_DOOR, told, caller.user, "", self._trace())
        request = await self._judged(Request(messages=tuple(turns)), b"", self._checks.plan(subject), judging)
        return request.messages

    async def _judged(self, request: Request, body: bytes, plan: Plan, judging: Judging) -> Request:
        """The request without what was replaced."""
        large = len(body) > _LARGE or len(request.messages) > _MANY or request.value is not None
        turns = await _spelled(request, body, judging, large=large)
        tools = any(turn.role == "tool" for turn in turns)
        for check in plan.request:
            redactor = check.redactor
            # who replaces nothing is asked about a conversation without words, too
            asks = redactor is None and not tools and check.reads_input
            shares = {Stage.INPUT: turns} if asks else _shares(check, turns)
            if not shares:
                continue
            if redactor is None:
                await judging.look(check, shares)
                continue
            found = {}
            for stage, share in shares.items():
                found[stage] = await judging.redact(check, redactor, stage, [turn.content for turn in share])
            if any(found.values()):
                change = judging.changing(check, redactor, next(iter(found)))
                of_tools, others = Stage.TOOL in found, Stage.INPUT in found
                much = large or sum(len(turn.content) for turn in turns) > _LARGE
                if much:
                    request = await asyncio.to_thread(_without, request, change, of_tools, others)
                else:
                    request = _without(request, change, of_tools, others)
                turns = await _spelled(request, b"", judging, large=much)
                for stage, share in _shares(check, turns).items():
                    left = await judging.redact(check, redactor, stage, [turn.content for turn in share])
                    if left:  # in a name, a schema or an address, or across two parts: it can't be replaced there
                        judging.refuse(check, stage, ", ".join(sorted(left)), sorted(left))
            for stage, one in found.items():
                judging.redacted(check, stage, one)
        return request

    # ---------------------------------------------------------------- while it runs

    async def renew(self, run: Run) -> None:
        """A stored prompt that other checks let in than there are now, or none, is judged by these before it is sent.

        Raises `ContentFiltered`, `ServiceUnavailable` where a guard fails.
        """
        prompt = run.prompt
        refused = any(one.outcome == "refused" and one.stage != Stage.OUTPUT for one in prompt.judgements)
        if not run.plan.request or (prompt.created >= self._since and not refused):
            return
        judging = Judging(self._metrics, ANEW, run.judgements, prompt.user, prompt.id, self._trace())
        request = await self._judged(prompt.request, b"", run.plan, judging)
        if request is not prompt.request:
            run.prompt = replace(prompt, request=request)

    async def failure(self, run: Run, error: PromptExecutionError) -> None:
        """What a service says of its failure is for the caller too: it tells what is left of that."""
        if isinstance(error, ContentFiltered) and error.check:
            return
        judging = self._at_work(run)
        try:
            for check in run.plan.output:
                turns = failure_turns(error)
                redactor = check.redactor
                if redactor is None:
                    await judging.demand(check, Stage.OUTPUT, turns)
                elif found := await judging.redact(check, redactor, Stage.OUTPUT, [turn.content for turn in turns]):
                    change_failure(error, judging.changing(check, redactor, Stage.OUTPUT))
                    judging.redacted(check, Stage.OUTPUT, found)
                    left = [turn.content for turn in failure_turns(error)]
                    if await judging.redact(check, redactor, Stage.OUTPUT, left):
                        mute_failure(error)
        except (PromptExecutionError, RecursionError, asyncio.CancelledError) as raised:
            mute_failure(error)
            if isinstance(raised, asyncio.CancelledError):
                raise

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

    def change(self, run: Run, check: Check, redactor: Redactor) -> Callable[[str], str]:
        """What takes out of a document's text what the check finds. Raises `ServiceUnavailable`."""
        return self._at_work(run).changing(check, redactor, Stage.INPUT)

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


async def _spelled(request: Request, body: bytes, judging: Judging, *, large: bool) -> tuple[Turn, ...]:
    try:
        return await asyncio.to_thread(request_turns, request, body) if large else request_turns(request, body)
    except Exception as error:  # what can't be spelled out can't be judged
        raise judging.failed(GuardFailed(repr(error))) from error


def _without(request: Request, change: Callable[[str], str], tool: bool, rest: bool) -> Request:
    """Raises `ContentRefused` for what is nested too deep."""
    try:
        return rewrite(request, change, tool=tool, rest=rest)
    except RecursionError:
        raise ContentRefused("values that are nested so deep can't be redacted", reason="depth") from None
