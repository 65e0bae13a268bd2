"""§6.1 to 6.6: the class itself, its config classes, its texts."""

from __future__ import annotations

import re
from typing import Final

from pydantic import ValidationError

from promptd.core.calls import Config
from promptd.core.engine import Engine
from promptd.core.icons import Icon
from promptd.core.localisation import Key, Localizer, resolve
from promptd.testing.conformance.subject import Subject

_TYPE_ID: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST: Final = 120


def check_class(subject: Subject) -> None:
    """§6.1, 6.5: its names and methods."""
    kind, expect = subject.kind, subject.expect
    type_id = getattr(kind, "type_id", None)
    named = isinstance(type_id, str) and _TYPE_ID.fullmatch(type_id) is not None and len(type_id) <= _LONGEST
    expect(named, 1, "a type_id like company.service", repr(type_id))
    expect(kind.api_version == 1, 1, "api_version 1", repr(kind.api_version))
    expect(kind.run is not Engine.run or kind.execute is not Engine.execute, 5, "execute or run", "neither")
    for name in ("connection_version", "query_version"):
        version = getattr(kind, name)
        expect(type(version) is int and version >= 1, 16, f"{name} to be 1 or more", repr(version))
    expect(isinstance(kind.icon, Icon), 5, "icon to be an Icon", type(kind.icon).__name__)


def check_config_classes(subject: Subject) -> None:
    """§6.3, 6.4: found, also through a subclass, and made without arguments."""
    kind = subject.kind
    derived = type(f"{kind.__name__}Derived", (kind,), {})
    for name in ("connection_config_class", "query_config_class"):
        with subject.guarded(3, f"{name}() to find a class"):
            model = getattr(kind, name)()
            found = isinstance(model, type) and issubclass(model, Config)
            if not subject.expect(found, 3, f"{name}() to be a subclass of promptd.plugins.Config", repr(model)):
                continue
            subject.expect(getattr(derived, name)() is model, 3, f"{name}() to be the same for a subclass")
            _check_constructible(subject, model)


def _check_constructible(subject: Subject, model: type[Config]) -> None:
    try:
        model()
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        subject.expect(False, 4, f"{model.__name__}() to be made without arguments", f"no default for {fields}")
        return
    with subject.guarded(4, f"{model.__name__} to have a JSON Schema"):
        model.model_json_schema()


def check_texts(subject: Subject) -> None:
    """§6.6: name and description in every locale."""
    engine = subject.engine
    with subject.guarded(6, "localizer() not to raise"):
        localizer = engine.localizer()
        fits = localizer is None or isinstance(localizer, Localizer)
        if not subject.expect(fits, 6, "localizer() to give a Localizer or None", type(localizer).__name__):
            return
        if localizer is None:
            return
        subject.expect(not localizer.problems, 6, "catalogues that can be read", "; ".join(localizer.problems))
        keys = [engine.display_name_key, engine.display_description_key]
        missing = localizer.missing_keys(keys) if localizer.locales else []
        subject.expect(not missing, 6, f"texts in {localizer.default!r}", f"none for {', '.join(missing)}")
        for key in keys:
            for locale in ("en", "de", "de-AT", "xx", "no locale at all"):
                subject.expect(bool(resolve(Key(key), localizer, locale)), 6, f"a text for {key} in {locale!r}", "none")
