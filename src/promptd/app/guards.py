"""The checks of the settings, made; and what guards may ask of the house."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from promptd import registry
from promptd.core import identity
from promptd.core.configs import secret_values
from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import InvalidOutput, SettingsError, Unavailable
from promptd.core.guarding import STAGES, Action, GuardTools, Redactor, Stage
from promptd.core.model import Answer, Caller, Capability, Mode, Request, Submission
from promptd.core.parameters import Parameters
from promptd.core.ports import Guard, HttpClient
from promptd.isolation.guests import Guests
from promptd.service.attached import Attached
from promptd.service.guarding import Check, Checks
from promptd.settings import CheckSettings, Settings, explain, suggestion
from promptd.settings.guards import RULES

_CALLER: Final = Caller("promptd:guard", permissions=frozenset({identity.PROMPT_CREATE}))
_COMMON: Final = frozenset(CheckSettings.model_fields)
_PLAIN: Final = Parameters()


class _Vectors(Struct, frozen=True):
    embeddings: list[list[float]]


class Desk:
    """Asks models of the house for guards, which are made before there is a house: `attached` comes later.

    What it asks are prompts like any other, but no check looks at them, and nothing of their text is kept.
    """

    attached: Attached | None = None

    def __init__(self) -> None:
        self.guests = Guests()  #: guards that are not trusted to stay alive

    async def ask(
        self,
        model: str,
        turns: Sequence[Turn],
        parameters: Parameters = _PLAIN,
        *,
        connection: str | None = None,
    ) -> Answer:
        """Raises `PromptdError`."""
        request = Request(messages=tuple(turns), parameters=parameters, connection=connection)
        return await self._run(model, request, Capability.CHAT)

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Raises `PromptdError`."""
        answer = await self._run(model, Request(texts=tuple(texts)), Capability.EMBEDDING)
        try:
            return msgspec.convert(answer.value, _Vectors).embeddings
        except msgspec.ValidationError as error:
            raise InvalidOutput("the engine's answer is no list of embeddings", detail=str(error)) from error

    async def _run(self, model: str, request: Request, capability: Capability) -> Answer:
        if self.attached is None:
            raise Unavailable("the house is not open yet")
        submission = Submission(
            caller=_CALLER,
            request=request,
            model=model or None,
            mode=Mode.ATTACHED,
            capability=capability,
            keep=False,
            unguarded=True,
        )
        async with self.attached.open(submission) as visit:
            pieces, done = await visit.whole()
        return Answer(
            done.message_id or "",
            "".join([piece.text for piece in pieces]),
            value=done.value,
            finish_reason=done.finish_reason or "stop",
        )

    def tools(self, http: HttpClient, allow: Callable[[str], None] | None = None) -> GuardTools:
        """What guards are given. `allow` is called with the addresses that their settings name."""
        return GuardTools(http=http, ask=self.ask, embed=self.embed, allow=allow)


def make_checks(settings: Settings, plugins: registry.Registry, tools: GuardTools, guests: Guests) -> Checks:
    """Raises `SettingsError` with the path of what can't be enforced."""
    given, made = settings.guard, list[Check]()
    if given.rules:
        stages = {Stage.INPUT, Stage.TOOL} | ({Stage.OUTPUT} if given.output else set())
        kind = plugins.guards["rules"]
        guard = _made(kind, kind.config_class.model_validate(given.rules), tools, "guard")
        made.append(Check(name=RULES, guard=guard, stages=frozenset(stages), seconds=given.timeout_seconds))
    made += [
        _check(f"guard.checks.{name}", name, one, settings, plugins, tools, guests)
        for name, one in given.checks.items()
    ]
    return Checks(made)


def _check(
    place: str,
    name: str,
    given: CheckSettings,
    settings: Settings,
    plugins: registry.Registry,
    tools: GuardTools,
    guests: Guests,
) -> Check:
    kind = plugins.guards.get(given.type)
    if kind is None:
        entry = f"{registry.GUARDS}:{given.type}"
        failed = next((one for one in plugins.problems if one.entry == entry and one.severity == "error"), None)
        hint = f"; it failed to load: {failed.reason}" if failed else suggestion(given.type, plugins.guards)
        raise _wrong(f"{place}.type", f'unknown guard "{given.type}"{hint}')
    if given.isolation == "process":
        guard = _guest(kind, given, place, tools, guests)
    else:
        guard = _made(kind, _config(kind, given, place), tools, place)
    able = frozenset(getattr(guard, "stages", STAGES))
    for index, stage in enumerate(given.stages):
        if stage not in able:
            fits = ", ".join(sorted(able))
            raise _wrong(f"{place}.stages[{index}]", f"the guard {given.type} can't judge {stage}, only {fits}")
    if given.action is Action.REDACT and not isinstance(guard, Redactor):
        raise _wrong(f"{place}.action", f"the guard {given.type} can't redact; expected refuse or record")
    _check_listeners(place, given, settings)
    return Check(
        name=name,
        guard=guard,
        stages=frozenset(given.stages),
        action=given.action,
        told=given.message,
        seconds=given.timeout_seconds or settings.guard.timeout_seconds,
        models=given.models,
        keys=given.keys,
        teams=given.teams,
        templates=given.templates,
        listeners=given.listeners,
    )


def _config(kind: Any, given: CheckSettings, place: str) -> Config:
    model: type[Config] | None = getattr(kind, "config_class", None)
    if model is None:
        raise _wrong(f"{place}.type", "the guard has no config_class")
    known = {field.alias or name for name, field in model.model_fields.items()}
    for key in given.config:
        if key not in known:
            raise _wrong(f"{place}.{key}", f"unknown setting{suggestion(key, known | _COMMON)}")
    common = given.model_dump(include=set(_COMMON.intersection(model.model_fields)))
    try:
        return model.model_validate({**common, **given.config})
    except ValidationError as error:
        raise explain(error, model, prefix=tuple(place.split(".", 2))) from None


def _guest(kind: Any, given: CheckSettings, place: str, tools: GuardTools, guests: Guests) -> Guard:
    if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
        raise _wrong(f"{place}.isolation", f"the guard {given.type} is the server's own, and needs none")
    config = _config(kind, given, place)
    common = given.model_dump(mode="json", include=set(_COMMON.intersection(type(config).model_fields)))
    try:
        settings = msgspec.to_builtins({**common, **given.config})
        return guests.guard(kind, settings, tools.http, secret_values(config))
    except (TypeError, ValueError) as error:
        raise _wrong(f"{place}.isolation", f"the guard can't run in a process: {error}"[:300]) from None


def _made(kind: Any, config: Config, tools: GuardTools, place: str) -> Guard:
    try:
        guard: Guard = kind(config, tools)
    except SettingsError as error:
        key = f"{place}.{error.key}" if error.key else place
        said = error.message.removeprefix(error.key) if error.key else f": {error.message}"
        raise SettingsError(f"{key}{said}", key=key) from error
    except Exception as error:  # a stranger's constructor may raise anything
        raise _wrong(place, f"the guard could not be made ({type(error).__name__})") from error
    return guard


def _check_listeners(place: str, given: CheckSettings, settings: Settings) -> None:
    arch = getattr(settings, "arch", None)
    known = {listener.name for listener in arch.listeners} if arch is not None else set[str]()
    for index, name in enumerate(given.listeners):
        if name not in known:
            raise _wrong(f"{place}.listeners[{index}]", f'there is no listener "{name}"{suggestion(name, known)}')


def _wrong(key: str, text: str) -> SettingsError:
    return SettingsError(f"{key}: {text}", key=key)
