"""What the connection forms of engines share: a layout in groups, and the models of a server that is not saved yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from promptd.core.calls import CheckLine, Config, ConnectionTestParams, ConnectionTestResult
from promptd.core.engine import Engine
from promptd.core.errors import PromptExecutionError
from promptd.core.forms import (
    Button,
    Condition,
    Control,
    Draft,
    FieldMessage,
    FormLogic,
    FormPatch,
    Group,
    Node,
    Option,
    Rule,
    Vertical,
    scope_of,
)
from promptd.core.localisation import HOST_PREFIX, Key

LOAD_MODELS: Final = "load_models"
_KEYS: Final = f"{HOST_PREFIX}connection"
_NAMED: Final = 20  # models that a message names

C = TypeVar("C", bound=Config)


def text_key(name: str) -> str:
    """The key of a text that connections share, in the host's catalogue."""
    return f"{_KEYS}.{name}"


def control(*names: str, rule: Rule | None = None, widget: str = "") -> Control:
    """The control of the setting that these names lead to."""
    return Control(scope=scope_of(names), rule=rule, widget=widget)


def shown(name: str, value: Any) -> Rule:
    """Shown while the setting `name` is `value`."""
    return Rule("SHOW", Condition(scope_of((name,)), {"const": value}))


def connection_layout(main: Sequence[str | Node], *, models: bool = True, **groups: Sequence[str | Node]) -> Vertical:
    """The settings `main`, the buttons, and a closed group for each of `groups`, called `promptd.connection.<group>`.

    A name stands for the control of that setting; `models`: there is a button that loads the models.
    """
    load = (Button(action=LOAD_MODELS, i18n=text_key(LOAD_MODELS)),) if models else ()
    return Vertical(
        elements=(
            *map(_node, main),
            *load,
            Button(action="test", i18n=f"{HOST_PREFIX}form.test"),
            *(
                Group(i18n=text_key(group), collapsed=True, elements=tuple(map(_node, elements)))
                for group, elements in groups.items()
                if elements
            ),
        )
    )


def models_found(models: Sequence[str], *checks: CheckLine, **discovered: list[str]) -> ConnectionTestResult:
    """The result of a test that found these models; `discovered` are further options, by the name of their source."""
    count = Key(text_key("models"), {"count": len(models)})
    return ConnectionTestResult(
        ok=True,
        message=count,
        models=tuple(models),
        checks=(CheckLine(True, Key(text_key("reached"))), CheckLine(bool(models), count), *checks),
        discovered={"models": list(models), **discovered},
    )


class ConnectionLogic(FormLogic[C, Any], Generic[C]):
    """Asks the server that a form names for its models, although nothing is saved yet."""

    def __init__(self, engine: Engine[C, Any]) -> None:
        self._engine = engine

    async def options(self, source: str, draft: Draft[C, Any], search: str) -> list[Option]:
        """What a test of the connection discovers under the name `source`."""
        found = (await self._test(draft)).discovered.get(source, []) if draft.http is not None else []
        return [Option(name, name) for name in found if search.casefold() in str(name).casefold()]

    async def action(self, name: str, draft: Draft[C, Any]) -> FormPatch | None:
        if name != LOAD_MODELS or draft.http is None:
            return None
        try:
            models = (await self._test(draft)).models
        except PromptExecutionError as error:
            return FormPatch(messages=(FieldMessage("", error.message),))
        if not models:
            return FormPatch(messages=(FieldMessage("", Key(text_key("no_models")), "warning"),))
        named = ", ".join(models[:_NAMED]) + (" …" if len(models) > _NAMED else "")
        text = Key(text_key("loaded"), {"count": len(models), "names": named})
        options = {"models": [Option(model, model) for model in models]}
        return FormPatch(options=options, messages=(FieldMessage("", text, "info"),))

    async def _test(self, draft: Draft[C, Any]) -> ConnectionTestResult:
        assert draft.http is not None
        return await self._engine.test_connection(
            ConnectionTestParams(connection=draft.connection, connection_name="", http=draft.http, locale=draft.locale)
        )


def _node(given: str | Node) -> Node:
    return control(given) if isinstance(given, str) else given
