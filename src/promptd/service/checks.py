"""What a submission must keep, whatever the model: fields within their bounds, and parameters that can be carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from promptd.core.content import Turn
from promptd.core.descriptors import Param, check_params
from promptd.core.errors import DescriptorFailed, InvalidRequest
from promptd.core.model import Capability, Submission
from promptd.core.output import check_schema, encode_schema
from promptd.core.parameters import Parameters
from promptd.core.texts import check_depth

_CHAT: Final = Capability.CHAT  # a name of its own: in Python 3.11 looking for an enum's member costs as much as a call
_SILENT: Final = (Capability.IMAGE, Capability.QUERY)
_ID_LENGTH: Final = 128
_LARGE_SCHEMA: Final = 8 * 1024  # bytes; larger ones are checked in a thread


def check_id(identifier: str, field: str) -> None:
    """Of a caller's choice. No path can name `.` or `..`: clients resolve them, escaped or not, before they ask.

    Raises `InvalidRequest` that names the field.
    """
    if not 1 <= len(identifier) <= _ID_LENGTH:
        raise InvalidRequest(field=field, expected=f"1 to {_ID_LENGTH} characters")
    if identifier in (".", ".."):
        raise InvalidRequest(field=field, expected="an id that a path can name, not `.` or `..`")


def check_declared(params: Sequence[Param], where: str = "inputs") -> tuple[Param, ...]:
    """Parameters that a caller declares; what is wrong with them is the caller's fault, not an engine's.

    Raises `InvalidRequest` that names the path.
    """
    try:
        return check_params(params, where=where)
    except DescriptorFailed as error:
        raise InvalidRequest(error.message, field=error.field, expected=error.expected) from None


def _says_something(turns: Sequence[Turn]) -> bool:
    for turn in turns:  # noqa: SIM110 - a generator costs more than the loop, and every prompt comes along here
        if turn.content or turn.parts or turn.tool_calls:
            return True
    return False


def _check_content(submission: Submission) -> None:
    request, capability = submission.request, submission.capability
    if capability is Capability.EMBEDDING:
        if not request.texts and submission.native is None:  # numbers of tokens are for the service alone
            raise InvalidRequest(field="texts", expected="at least one text")
    elif capability is Capability.TRANSCRIPTION:
        if not request.files:
            raise InvalidRequest(field="files", expected="a sound")
    elif capability not in _SILENT and not _says_something(request.messages):
        raise InvalidRequest(field="messages", expected="at least one message with text")


def check_submission(submission: Submission, now: float) -> None:
    """Raises `InvalidRequest` that names the field."""
    if submission.capability is not _CHAT or not _says_something(submission.request.messages):
        _check_content(submission)
    if submission.id is not None:
        check_id(submission.id, "id")
    if submission.thread is not None:
        check_id(submission.thread, "thread_id")
    if submission.deadline is not None:
        if submission.deadline <= now:
            raise InvalidRequest(field="deadline", expected="a time in the future")
        if submission.not_before is not None and submission.deadline <= submission.not_before:
            raise InvalidRequest(field="deadline", expected="a time after `not_before`")
    if submission.max_attempts is not None and not 1 <= submission.max_attempts <= 100:
        raise InvalidRequest(field="max_attempts", expected="a whole number from 1 to 100")
    if submission.priority and not -100 <= submission.priority <= 100:
        raise InvalidRequest(field="priority", expected="a whole number from -100 to 100")


async def check_parameters(parameters: Parameters) -> None:
    """What a caller may nest and engines and stores walk recursively, and the form of what is asked and answered.

    Raises `InvalidRequest` that names the field.
    """
    if parameters.wordless():
        return
    if parameters.template is not None and "{prompt}" not in parameters.template:
        raise InvalidRequest(field="parameters.template", expected="text that holds `{prompt}`")
    check_depth(parameters.extra, "parameters.extra")
    if parameters.image is not None:
        check_depth(parameters.image.extra, "parameters.image.extra")
    for index, tool in enumerate(parameters.tools):
        check_depth(tool.parameters, f"parameters.tools[{index}].parameters")
    if parameters.json_schema is not None:
        await _check_schema(parameters.json_schema, "parameters.json_schema")


async def _check_schema(schema: dict[str, Any], field: str) -> None:
    check_depth(schema, field)
    if len(encode_schema(schema, field)) > _LARGE_SCHEMA:
        await asyncio.to_thread(check_schema, schema, field)
    else:
        check_schema(schema, field)
