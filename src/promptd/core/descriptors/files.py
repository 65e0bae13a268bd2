"""Files of a run against their parameters: how many, how large, of which types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from promptd.core.descriptors.param import ANY_TYPE, Param
from promptd.core.descriptors.sniffing import HEAD, judge, matches
from promptd.core.prompt_files import PromptFile

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")

Fail = Callable[[str, str], Exception]


def check_files(
    params: Sequence[Param], files: object, fail: Fail
) -> tuple[dict[str, tuple[PromptFile, ...]], tuple[str, ...]]:
    """The files that the parameters ask for, and the names of others. Raises what `fail(path, expected)` makes.

    Reads the first bytes of each file that has a parameter. Raises `OSError`.
    """
    if not isinstance(files, Mapping):
        raise fail("files", "an object with a list of files for each name")
    given: dict[str, tuple[PromptFile, ...]] = {}
    known = {param.name: param for param in params if param.kind == "file"}
    for name, param in known.items():
        listed = tuple(_listed(name, files.get(name, ()), fail))
        _check_count(param, len(listed), fail)
        several = len(listed) > 1
        checked = [_checked(param, f"{name}[{no}]" if several else name, file, fail) for no, file in enumerate(listed)]
        if checked:
            given[name] = tuple(checked)
    return given, tuple(str(name) for name in files if name not in known)


def _listed(name: str, files: Any, fail: Fail) -> Iterator[PromptFile]:
    if isinstance(files, str | bytes) or not isinstance(files, Sequence):
        raise fail(name, "a list of files")
    for file in files:
        if not isinstance(file, PromptFile):
            raise fail(name, "a list of files")
        yield file


def _check_count(param: Param, count: int, fail: Fail) -> None:
    if param.required and not count:
        raise fail(param.name, "a file, which is required")
    most = param.max_count if param.multiple else 1
    if most is not None and count > most:
        raise fail(param.name, f"at most {most} {'file' if most == 1 else 'files'}")


def _checked(param: Param, where: str, file: PromptFile, fail: Fail) -> PromptFile:
    if param.max_bytes is not None and file.size > param.max_bytes:
        raise fail(where, f"a file of at most {param.max_bytes} bytes")
    declared = file.media_type.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(declared):
        raise fail(where, "a file with a media type such as text/plain")
    known = judge(declared, file.read(HEAD))
    if known is None:
        raise fail(where, f"a file that is what it is called; its content is not {declared}")
    if not matches(known, param.media_types):
        raise fail(where, f"a file of the type {allowed(param)}, not {known}")
    if known == file.media_type:
        return file
    return PromptFile(file.filename, known, file.size, file.opener)


def allowed(param: Param) -> str:
    """`image/png or image/*`; `any` where every type will do."""
    return "any" if ANY_TYPE in param.media_types else " or ".join(param.media_types)
