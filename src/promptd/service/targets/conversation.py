"""What becomes of a conversation with targets: a question back, an API's words, or a model's turn to speak.

One flow for the files of all eras (contracts/arch.md §3.2, §3.3): guard, decision, call. What differs between the eras is
how a face writes the outcome. Nothing of the conversation is stored here; clients bring it along each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.content import Turn, text_of
from promptd.core.errors import PromptdError, PromptExecutionError
from promptd.core.model import Caller
from promptd.core.policy import Counted
from promptd.core.targets import Asking, Decision, FunctionModel
from promptd.dialects.arch.config import ERROR_TARGET, ArchConfig, PromptTarget
from promptd.service.clock import Entropy
from promptd.service.targets.answering import completion_of, context_of
from promptd.service.targets.calling import Calling, Errand, Failed, Responded, client_status, messages_of

Judge = Callable[[Sequence[Turn], "Wish"], Awaitable[Sequence[Turn]]]
"""The guards' word on turns of a conversation: the turns, redacted where they wish. Raises `ContentRefused`, or `Unavailable`
where a guard fails."""

#: code of a failure: the function model can't be asked
UNAVAILABLE: Final = "function_model_unavailable"
_SERVERS_FAULT: Final = 501  # and above: said of somebody behind us
_UNAVAILABLE_STATUS: Final = 503
_WITH_HISTORY: Final = ("A", "B")  # eras whose APIs get the conversation beside the arguments


class Wish(Struct, frozen=True, kw_only=True):
    """A conversation as a face understood it; its last turn of a user is what is asked now."""

    caller: Caller
    turns: tuple[Turn, ...]
    listener: str = ""
    models: tuple[str, ...] = ()  #: what the model is called that may answer
    id: str = ""  #: of the prompt that the caller will see; what is done on the way are its children
    in_dialogue: bool = False  #: the turn before the user's last one asks for parameters
    before: str | None = None  #: the target that the conversation was about last
    metadata: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}  #: request id, for every hop
    counted: Counted = ()  #: what limits by header count the request for


class Called(Struct, frozen=True):
    """A target that was called, and what its API said."""

    target: str
    arguments: dict[str, Any]
    body: str
    raw: str = ""  #: the function model's own words


class Question(Struct, frozen=True):
    """Something has to be asked of the user."""

    text: str
    raw: str = ""  #: the function model's own words


class Onward(Struct, frozen=True):
    """A model shall answer: with a system prompt, and with a context behind the user's text, if there is one."""

    system_prompt: str | None = None
    context: str = ""
    called: Called | None = None


class Verbatim(Struct, frozen=True):
    """The API's own words are the answer. Those of a default target are a chat completion, or should be."""

    responded: Responded
    called: Called | None = None


Outcome = Question | Onward | Verbatim | Failed


class Ruling(Struct, frozen=True):
    """What shall happen, and whether the user now wants something else than before."""

    outcome: Outcome
    target: str | None = None
    changed: bool = False


class Conversation:
    """Decides. One instance serves every prompt listener of the file."""

    def __init__(
        self, config: ArchConfig, *, calling: Calling, function_model: FunctionModel, judge: Judge, entropy: Entropy
    ) -> None:
        self._calling, self._judge, self._entropy = calling, judge, entropy
        self.configure(config, function_model)

    def configure(self, config: ArchConfig, function_model: FunctionModel) -> None:
        """Other targets from now on."""
        self._config, self.function_model = config, function_model
        self._targets = {one.target.name: one for one in config.targets}

    @property
    def config(self) -> ArchConfig:
        return self._config

    async def run(self, wish: Wish) -> Ruling:
        """Raises `PromptdError`: a guard's refusal, a function model that can't be asked, a limit."""
        judged = await self._judge(wish.turns, wish)
        wish = replace(wish, turns=tuple(judged))
        if not self._targets:
            return Ruling(Onward(self._config.system_prompt))
        decision = await self._decide(wish)
        if isinstance(decision, Failed):
            return Ruling(decision)
        if decision.question:
            changed = decision.changed or _differs(wish.before, decision.target)
            return Ruling(Question(decision.question, decision.raw), decision.target, changed)
        target = self._targets.get(decision.target or "")
        changed = decision.changed or _differs(wish.before, decision.target)
        if target is None or target is self._config.default_target:
            default = self._config.default_target
            if default is None:
                return Ruling(Onward(self._config.system_prompt), None, changed)
            return Ruling(await self._by_default(wish, default), default.target.name, changed)
        return Ruling(await self._about(wish, target, decision), target.target.name, changed)

    async def report(self, wish: Wish, failed: Failed, body: Any) -> Responded | None:
        """Tell the file's error target of a failure; its answer where that is a success, else None."""
        target = self._config.error_target
        if target is None:
            return None
        last = next((text_of(turn) for turn in reversed(wish.turns) if turn.role == "user"), "")
        headers = {
            **wish.headers,
            "x-arch-error-type": failed.code,
            "x-arch-error-message": _header(failed.text),
            "x-arch-target-prompt": _header(last),
        }
        errand = Errand(
            caller=wish.caller,
            listener=wish.listener,
            parent=wish.id or None,
            headers=headers,
            counted=wish.counted,
        )
        try:
            responded = await self._calling.ask(target.endpoint, {"target": ERROR_TARGET, "body": body}, errand)
            if not 200 <= responded.status < 300:
                return None
            return await self._judged(wish, responded)
        except PromptdError:
            return None  # the failure itself is told then

    # ---------------------------------------------------------------- steps

    async def _decide(self, wish: Wish) -> Decision | Failed:
        """Raises a `Refusal`, such as a limit that is reached."""
        targets = [one.target for one in self._config.targets]
        try:
            return await self.function_model.decide(wish.turns, targets, _asking(wish))
        except PromptExecutionError as error:
            if error.native is not None:  # a remote one's own refusal
                status, text = error.native
                return await self._told(wish, Failed(client_status(status), text.decode("utf-8", "replace")))
            status = error.http_status if error.http_status >= _SERVERS_FAULT else _UNAVAILABLE_STATUS
            return Failed(status, error.message, UNAVAILABLE)

    async def _about(self, wish: Wish, target: PromptTarget, decision: Decision) -> Outcome:
        value: dict[str, Any] = {"arguments": decision.arguments}
        if self._config.era in _WITH_HISTORY and target.method == "POST":
            value["more"] = {"messages": messages_of(wish.turns)}
        responded = await self._calling.call(target, value, _errand(wish, target))
        if isinstance(responded, Failed):
            return await self._told(wish, responded)
        responded = await self._judged(wish, responded)
        called = Called(target.target.name, decision.arguments, responded.body, decision.raw)
        if not target.dispatch:
            return Verbatim(responded, called)
        return Onward(
            target.system_prompt or self._config.system_prompt, context_of(responded.body, self._nonce()), called
        )

    async def _by_default(self, wish: Wish, target: PromptTarget) -> Outcome:
        value = {"body": {"messages": messages_of(wish.turns)}}
        responded = await self._calling.call(target, value, _errand(wish, target))
        if isinstance(responded, Failed):
            return await self._told(wish, responded)
        responded = await self._judged(wish, responded)
        if not target.dispatch:
            return Verbatim(responded)
        try:
            said = completion_of(responded.body)
        except ValueError as error:
            return Failed(502, f"the default target's answer is no chat completion: {error}", "invalid_response")
        return Onward(target.system_prompt or self._config.system_prompt, context_of(said.text, self._nonce()))

    async def _judged(self, wish: Wish, responded: Responded) -> Responded:
        """What the API said, as far as the guards let it into the conversation."""
        judged = await self._judge((Turn("tool", responded.body),), wish)
        return replace(responded, body=text_of(judged[0]))

    async def _told(self, wish: Wish, failed: Failed) -> Failed:
        """A failure that quotes somebody behind us, as far as the guards let it out."""
        judged = await self._judge((Turn("tool", failed.text),), wish)
        return replace(failed, text=text_of(judged[0]))

    def _nonce(self) -> str:
        return self._entropy(6).hex()


def _asking(wish: Wish) -> Asking:
    return Asking(
        caller=wish.caller,
        parent=wish.id,
        listener=wish.listener,
        in_dialogue=wish.in_dialogue,
        metadata=wish.metadata,
        headers=wish.headers,
        counted=wish.counted,
    )


def _errand(wish: Wish, target: PromptTarget) -> Errand:
    """Where the API's words are the answer, its call is the prompt that the caller sees."""
    own = None if target.dispatch else wish.id or None
    parent = wish.id or None if target.dispatch else None
    return Errand(
        caller=wish.caller,
        listener=wish.listener,
        parent=parent,
        id=own,
        headers=wish.headers,
        counted=wish.counted,
    )


def _differs(before: str | None, now: str | None) -> bool:
    return before is not None and now is not None and before != now


def _header(text: str) -> str:
    """As much of a text as a header can carry."""
    return "".join(letter if " " <= letter <= "~" else " " for letter in text[:512]).strip()
