"""All classes of the tree, in the order of the drawing."""

from __future__ import annotations

from collections.abc import Iterator

from promptd.core.errors import configuration, execution, refusals
from promptd.core.errors.base import PromptdError
from promptd.core.errors.execution import ExecutionFailed, PromptExecutionError


def leaves(root: type[PromptdError] = PromptdError) -> Iterator[type[PromptdError]]:
    """Every class of this tree below `root`, inner ones included (each is raised somewhere). What a face or a plugin derives
    from them is its own business."""
    for module in (refusals, execution, configuration):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, root) and kind not in (root, PromptdError):
                yield kind


def _by_code() -> dict[str, type[PromptExecutionError]]:
    classes: dict[str, type[PromptExecutionError]] = {ExecutionFailed.code: ExecutionFailed}
    for leaf in leaves(PromptExecutionError):
        if issubclass(leaf, PromptExecutionError):
            classes.setdefault(leaf.code, leaf)
    return classes


#: code → class, to rebuild a stored failure; a plugin's subclass keeps its base's code
EXECUTION_CODES: dict[str, type[PromptExecutionError]] = _by_code()
