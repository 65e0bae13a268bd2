"""Intake decides everything once: may this caller, is the text safe, within limits, which model. It ends in one
self-contained prompt in the queue, or in one typed refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import InvalidRequest, Overloaded, Refusal, ShuttingDown
from promptd.core.lifecycle import Status
from promptd.core.limits import Limits, Reservation
from promptd.core.model import (
    Caller,
    Capability,
    Judgement,
    Message,
    Mode,
    Prompt,
    Request,
    Submission,
    Thread,
    Usage,
)
from promptd.core.policy import Bill, Metric, bill_of
from promptd.core.ports import Added, Idempotency, Queue, Records
from promptd.core.routing import Route
from promptd.core.texts import is_plain
from promptd.service.admitting import (
    Admitted,
    Way,
    blank_of,
    idempotency_of,
    is_ordinary,
    messages_of,
    names_of,
    prompt_of,
    thread_of,
)
from promptd.service.attachments import Attachments
from promptd.service.charges import Charges
from promptd.service.checks import check_parameters, check_submission
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connections
from promptd.service.events import Event, Events
from promptd.service.guarding import Guarding, kept
from promptd.service.holds import Holds
from promptd.service.metrics import Metrics
from promptd.service.router import Router
from promptd.service.runs import Run
from promptd.service.spelling import shows_images
from promptd.service.tracing import Tracing
from promptd.service.worker import Worker

# in Python 3.11 to name an enum's member costs as much as a call, and every prompt comes along here
_CHAT: Final = Capability.CHAT
_QUERY: Final = Capability.QUERY
_CHATS: Final = (Capability.VISION, Capability.DOCUMENT)  #: images or none: the files will tell
_ATTACHED: Final = Mode.ATTACHED
_RUNNING: Final = Status.RUNNING
_NOTHING: Final = Usage()
_UNJUDGED: Final[Sequence[Judgement]] = ()
_MOST_WAYS: Final = 10_000


class IntakeRules(Struct, frozen=True, kw_only=True):
    max_waiting: int = 1_000_000
    max_attempts: int = 5
    keep_attached: bool = False  #: store question and answer of those who do not say what they want


class Intake(Holds):
    """The one way into the queue, and what limits hold for those who came in."""

    def __init__(
        self,
        *,
        queue: Queue,
        records: Records,
        worker: Worker,
        connections: Connections,
        router: Router,
        attachments: Attachments,
        events: Events,
        guarding: Guarding,
        limits: Limits,
        charges: Charges,
        clock: Clock,
        ids: Ids,
        rules: IntakeRules,
        metrics: Metrics,
    ) -> None:
        super().__init__(limits=limits, charges=charges, router=router, clock=clock)
        self._metrics = metrics
        self._queue, self._records, self._worker = queue, records, worker
        self._connections, self._attachments, self._events = connections, attachments, events
        self._guarding, self._ids, self._rules = guarding, ids, rules
        self.tracing: Tracing | None = None  #: where somebody wants to see what was done when
        self._ways: dict[tuple[str, str | None], Way] = {}  #: of those who asked lately

    def configure(self, rules: IntakeRules) -> None:
        """Other rules from now on; what was admitted stays admitted."""
        self._rules = rules
        self._ways.clear()

    async def submit(self, submission: Submission) -> Added:
        """Store a prompt; when this returns, it is on disk. Raises a `Refusal`."""
        now = self._clock()
        try:
            admitted = await self._decide(submission, now, True)
            prompt = admitted.prompt
            idempotency = idempotency_of(submission, now)
            receipt: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
            # A task of its own, which is the run's too: a caller that leaves while the row is written must not leave a
            # running row without a run behind, nor a reservation without a prompt.
            self._worker.spawn(
                self._take_in(prompt, admitted.thread, idempotency, admitted.charges, receipt), prompt.id
            )
            return await receipt
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise

    async def admit(self, submission: Submission) -> Admitted:
        """Decide on an attached prompt without storing it. Raises a `Refusal`."""
        try:
            clock = self._clock  # a name of its own: what is called at once is looked for as a method first
            now = clock()
            admitted = await self._decide(submission, now, None)
            charges, prompt = admitted.charges, admitted.prompt
            if charges.amounts:
                reservation = self._at_once.reserve(charges, now) if self._at_once is not None else None
                if reservation is None:
                    reservation = await self._limits.reserve(charges, now=now)
                if admitted.ordinary:  # its id is new
                    self._reservations[prompt.id] = (reservation,)
                else:
                    self._hold(prompt.id, reservation)
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise
        self._metrics.submitted(admitted.route.pattern or prompt.model)
        return admitted

    @asynccontextmanager
    async def count(self, submission: Submission) -> AsyncGenerator[Admitted, None]:
        """A call that makes no prompt, and what may be told of it: judged like one, and charged as a request.

        Raises a `Refusal`.
        """
        try:
            now = self._clock()
            admitted = await self._decide(submission, now, False)
            charges = [one for one in admitted.charges if one.policy.metric in ("requests", "concurrency")]
            reservation = await self._limits.reserve(charges, now=now) if charges else None
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise
        try:
            yield admitted
        finally:
            if reservation is not None:
                await self._limits.settle(reservation, {}, now=self._clock())

    async def readmit(self, caller: Caller, prompt: Prompt) -> None:
        """Decide whether `caller` may have a stored prompt run afresh. Raises a `Refusal`.

        It is charged like a new one; where it still holds its admission, as one more request.
        """
        try:
            self._refuse_work()
            if caller.models and caller.key != prompt.key:
                identity.require_model(caller, prompt.request.connection or prompt.model)
            metrics: tuple[Metric, ...] | None = ("requests",) if prompt.id in self._reservations else None
            charges = self._charges.of_admission(
                caller,
                self._router.route(prompt) or self._connections.resolve(prompt.model),
                prompt.request,
                capability=prompt.capability,
                thread=prompt.thread is not None,
                counted=prompt.counted,
                metrics=metrics,
            )
            # an empty one too, so that `take_back` finds it and not the admission's
            self._hold(prompt.id, await self._limits.reserve(charges, now=self._clock()))
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise

    async def _decide(self, submission: Submission, now: float, keep: bool | None) -> Admitted:
        """`keep`: question and answer are stored; None: as caller and house wish."""
        caller, request, pinned = submission.caller, submission.request, submission.request.connection
        way = self._ways.get((caller.key, submission.model)) if pinned is None else None
        if way is None or way.caller is not caller or way.version != self._connections.version:
            way = self._way(submission)
        self._refuse_work()
        if keep is None:
            keep = way.keep if submission.keep is None else self.keeps(submission)
        route, legs, arm, needed, native = way.route, way.legs, "", submission.capability, submission.native
        model = route.model
        plain = (native is not None and native.plain) or is_plain(request)
        blank = way.blank if plain and is_ordinary(submission) else None
        if blank is None:
            if needed in _CHATS:
                submission, needed = replace(submission, capability=_CHAT), _CHAT
            if submission.fallbacks:
                route, legs = self._connections.chain(route, submission.fallbacks), ()
            if route.arms:
                route, arm = self._router.arm(route, caller.user, submission.affinity)
            if not arm and request.template is not None:  # the versions that share the runs of a label are arms too
                arm = f"{request.template.template}@{request.template.number}"
            check_submission(submission, now)
            if request.files or not (plain and way.chats and needed is _CHAT):
                needed = await self._check_request(request, needed, route)
        plan, told = self._guarding.common, _UNJUDGED
        if plan is None or submission.unguarded:
            plan = self._guarding.plan(submission, partial(names_of, model, pinned, route))
        if plan.request:
            judged = self._guarding.admit(submission, plan, plain)
            submission, told = judged if isinstance(judged, tuple) else await judged
        # of most there is no more to decide
        if blank is not None and told is plan.fine and not (keep or self._charges.headers):
            charges = self._charges.of_admission(caller, route, submission.request)
            identifier, request = self._ids.make(submission.prefix), submission.request
            prompt = replace(blank, id=identifier, request=request, created=now, updated=now, started=now)
            return Admitted(prompt, route, legs, charges, keep, plan, submission.native, True)
        thread = await self._thread(submission, now) if submission.thread is not None else None
        # by its headers is counted what a guard looks at, and not the guard's question
        by_header = self._charges.headers and not submission.unguarded
        counted = self._charges.counted(submission.counted) if by_header else ()
        # by place: a call with names is never specialized
        charges = self._charges.of_admission(
            caller, route, submission.request, submission.capability, counted, thread is not None
        )
        if submission.parent is not None and submission.parent in self._reservations:
            # it waits for this one, which may have its seat meanwhile
            charges = bill_of([charge for charge in charges if charge.policy.metric != "concurrency"])
        legs = legs or self._router.plan(route, caller.user, submission.affinity, needed)
        attached = submission.mode is _ATTACHED
        # one that is stored before its caller hears of it is stored with everything
        everything = keep or not attached
        # what is plainly fine is all that most are told
        judgements = () if told is plan.fine and not everything else kept(told, everything=everything)
        identifier = submission.id or self._ids.make(submission.prefix)
        if counted and attached and request.output is None:  # no repair will be counted for them
            counted = self._charges.recounted(counted)
        attempts = submission.max_attempts or self._rules.max_attempts
        prompt = prompt_of(submission, identifier, model, arm, legs[0], now, attempts, judgements, counted)
        return Admitted(prompt, route, legs, charges, keep, plan, submission.native, blank is not None, thread)

    def _way(self, submission: Submission) -> Way:
        """Where a caller's prompts for a model go. Raises a `Refusal` where it may not ask for it."""
        caller, pinned, version = submission.caller, submission.request.connection, self._connections.version
        identity.require(caller, identity.PROMPT_CREATE)
        self._refuse_work()
        route = self._connections.resolve(submission.model) if pinned is None else self._pinned(submission, pinned)
        if caller.models:
            # at a connection a model's name is the service's own word, and says nothing of the model that we call so
            identity.require_model(caller, pinned or submission.model or route.model)
        chats, alone = self._connections.supports(route, _CHAT), len(route.legs) == 1 and not route.arms
        keep = self._rules.keep_attached if caller.keep is None else caller.keep
        way = Way(caller, version, route, route.legs if alone else (), chats, keep)
        if pinned is None:
            if alone and chats:
                way = replace(way, blank=blank_of(caller, route, self._rules.max_attempts))
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            self._ways[caller.key, submission.model] = way
        return way

    async def _take_in(
        self,
        prompt: Prompt,
        thread: Thread | None,
        idempotency: Idempotency | None,
        charges: Bill,
        receipt: asyncio.Future[Added],
    ) -> None:
        """Charge and store a prompt, tell by `receipt` how that went, and run it where it has a slot."""
        try:
            added, run = await self._store(prompt, thread, idempotency, charges)
        except BaseException as error:
            heard = not receipt.done()
            if heard:
                receipt.set_exception(error)
            if heard and isinstance(error, Exception):
                return
            raise
        if not receipt.done():
            receipt.set_result(added)
        if run is not None:
            await self._worker.carry_out(run)

    async def _store(
        self, prompt: Prompt, thread: Thread | None, idempotency: Idempotency | None, charges: Bill
    ) -> tuple[Added, Run | None]:
        reserved, reservation = False, None
        try:
            reservation = await self._limits.reserve(charges, now=prompt.created) if charges.amounts else None
            reserved = self._worker.reserve(prompt.lane)
            added = await self._queue.add(
                prompt,
                now=prompt.created,
                start=reserved,
                thread=thread,
                messages=self._messages(prompt) if prompt.thread is not None else (),
                idempotency=idempotency,
            )
        except BaseException:  # a row that no store can hold must not cost the lane its slot
            await self._take_back(prompt, reserved, reservation)
            raise
        if not added.created:
            await self._take_back(prompt, reserved, reservation)
            return added, None
        self._metrics.submitted(added.prompt.model)
        self._events.tell(Event("prompt_added", prompt=added.prompt.id))
        if self.tracing is not None:
            self.tracing.remember(added.prompt.id)
        if reservation is not None:
            self._hold(added.prompt.id, reservation)
        return added, self._worker.submitted(added.prompt, reserved=reserved)

    async def _take_back(self, prompt: Prompt, reserved: bool, reservation: Reservation | None) -> None:
        if reserved:
            self._worker.release(prompt.lane)
        if reservation is not None:
            await self._limits.release(reservation, now=prompt.created)

    # ---------------------------------------------------------------- decisions

    def keeps(self, submission: Submission) -> bool:
        """Whether question and answer of an attached prompt are stored: never against the rule of its key."""
        rule = submission.caller.keep
        if rule is False:
            return False
        wish = submission.keep if submission.keep is not None else rule
        return self._rules.keep_attached if wish is None else wish

    def _pinned(self, submission: Submission, connection: str) -> Route:
        """The route to a connection that is asked by its name. Raises `InvalidRequest`."""
        route = self._connections.direct(connection, submission.model or "")
        if route is None:
            raise InvalidRequest(
                f"there is no connection {connection[:200]!r}", field="connection", expected="a connection's name"
            )
        return route

    def _refuse_work(self) -> None:
        """Raises `ShuttingDown`, and `Overloaded` where too many wait already."""
        if self._worker.draining:
            raise ShuttingDown(retry_after=5)
        if self._worker.waiting >= self._rules.max_waiting:
            raise Overloaded("too many prompts are waiting", retry_after=10)

    async def _check_request(self, request: Request, needed: Capability, route: Route) -> Capability:
        """What is asked of the model, files and images in the conversation included. Raises `InvalidRequest` where it can't
        do that, or for parameters that nobody can carry out, `HandlerUnavailable` where nobody serves it now."""
        if needed is not _QUERY:
            if request.files:
                needed = await self._attachments.check(request.files, needed)
            if needed is _CHAT and shows_images(request.messages):
                needed = Capability.VISION
            if not self._connections.supports(route, needed):
                raise self._connections.unfit(route, needed)
        await check_parameters(request.parameters)
        return needed

    async def _thread(self, submission: Submission, now: float) -> Thread:
        """The thread as it begins with this prompt, where it is not there yet; the store looks again when it adds."""
        return thread_of(submission, await self._records.get(Thread, cast(str, submission.thread)), now)

    # ---------------------------------------------------------------- what is stored

    def _messages(self, prompt: Prompt) -> tuple[Message, ...]:
        route = self._connections.route(prompt.model)
        return messages_of(prompt, self._connections.engine_of(route) if route is not None else "", self._ids)
