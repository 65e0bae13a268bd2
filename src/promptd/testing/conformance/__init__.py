"""`assert_conforms`: the storage, form, descriptor, test and error part of formcycle.md §6, for any engine.

    from promptd.testing import Samples, assert_conforms, conformance_tests

    def test_conforms():
        assert_conforms(Translator)

    test_conforms = conformance_tests(Translator)  # or one test for each part, with pytest

No server runs and no address is asked: the engine gets a `FakeHttp`. What the host does for every engine (isolation,
retries, deadlines) is promptd's own to show.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from promptd.core.engine import Engine
from promptd.testing.conformance.describing import check_descriptors, check_inputs
from promptd.testing.conformance.findings import Finding, NotConforming, said
from promptd.testing.conformance.forms import check_callbacks, check_forms, check_secrets
from promptd.testing.conformance.registration import check_class, check_config_classes, check_texts
from promptd.testing.conformance.running import check_connection_test, check_error_map, check_runs
from promptd.testing.conformance.storage import check_lenience, check_roundtrips, check_versions
from promptd.testing.conformance.subject import Samples, Subject

__all__ = ["Finding", "NotConforming", "Samples", "assert_conforms", "conformance_tests", "findings"]

_PARTS: Final[dict[str, tuple[Callable[[Subject], Any], ...]]] = {
    "registration": (check_class, check_config_classes, check_texts),
    "forms": (check_forms, check_secrets, check_callbacks),
    "storage": (check_roundtrips, check_versions, check_lenience),
    "descriptors": (check_descriptors, check_inputs),
    "connection test": (check_connection_test,),
    "errors": (check_error_map, check_runs),
}


def findings(handler: type[Engine[Any, Any]], samples: Samples | None = None, *, part: str = "") -> list[Finding]:
    """Every promise that `handler` does not keep, in all parts or in one."""
    # a loop of its own, so that tests with a running loop can ask, too
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_examined(handler, samples, part))).result()


def assert_conforms(handler: type[Engine[Any, Any]], samples: Samples | None = None) -> None:
    """Raises `NotConforming`, an `AssertionError` that names each broken promise by its number.

    `samples` say what the handler is examined with; without them its own `conformance_samples()` is asked, where it has
    one, and what is still missing is made from its config classes.
    """
    _raise(handler, findings(handler, samples))


def conformance_tests(handler: type[Engine[Any, Any]], samples: Samples | None = None) -> Callable[[str], None]:
    """A pytest test for each part of the list: `test_conforms = conformance_tests(Translator)`."""
    import pytest

    @pytest.mark.parametrize("part", _PARTS)
    def test_conforms(part: str) -> None:
        _raise(handler, findings(handler, samples, part=part))

    return test_conforms


def _raise(handler: type[Engine[Any, Any]], found: list[Finding]) -> None:
    if found:
        raise NotConforming(getattr(handler, "__name__", repr(handler)), sorted(found, key=lambda one: one.statement))


async def _examined(handler: type[Engine[Any, Any]], samples: Samples | None, part: str) -> list[Finding]:
    try:
        subject = Subject(handler, samples)
    except Exception as error:  # a stranger's constructor
        return [Finding(4, "an engine that is made without arguments", said(error))]
    for name, checks in _PARTS.items():
        if part in ("", name):
            for check in checks:
                with subject.guarded(5, f"the {name} to be examined"):
                    found = check(subject)
                    if inspect.isawaitable(found):
                        await found
    return subject.findings.all
