"""`POST /v1/images/generations` and `/v1/images/edits`, and where the images are fetched that are told by address."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, InvalidRequest, NotFound, PromptdError
from promptd.core.model import Capability, Mode, Request, Submission, Usage
from promptd.core.parameters import ImageParameters, Parameters
from promptd.dialects.chat import wrong
from promptd.faces.asgi import encode, path_params
from promptd.faces.gateway import Ask, Gateway, Whole
from promptd.faces.openai.image_stream import ImageWriter, image_usage
from promptd.faces.openai.inputs import Inputs, blobs_of, keep
from promptd.faces.openai.table import Table
from promptd.faces.serve_file import Sending
from promptd.service.filed import Filed

_FILES: Final = "/v1/images/files/"
_HOUR: Final = 3600.0
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
_FORMATS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp"}


class _Body(Struct, frozen=True):
    prompt: str
    model: str | None = None
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: str | None = None
    response_format: str | None = None
    output_format: str | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    user: str | None = None


_decoder: Final = msgspec.json.Decoder(_Body)
_untyped: Final = msgspec.json.Decoder(dict[str, Any])
_KNOWN: Final = frozenset(_Body.__struct_fields__)


def endpoints(filed: Filed) -> Table:
    async def generations(gateway: Gateway, ask: Ask) -> None:
        raw = await gateway.body(ask)
        body = wrong.decode(_decoder, raw)
        members = wrong.decode(_untyped, raw)
        submission = gateway.idempotent(ask, _submission(ask, body, members, ()), raw)
        if body.stream:
            await gateway.stream(ask, _attached(submission), ImageWriter("image_generation", members).begun)
            return
        await _answer(gateway, ask, filed, body, await gateway.whole(ask, submission))

    async def edits(gateway: Gateway, ask: Ask) -> None:
        inputs = Inputs(gateway, ask, filed)
        await inputs.read("image", "image[]", "mask")
        try:
            members, files, mask = _members(inputs)
            body = _converted(members)
            submission = _submission(ask, body, members, files, mask)
            # a form has another boundary each time; what it says is the same
            told = encode([members, [upload.digest for some in inputs.files.values() for upload in some]])
            submission = gateway.idempotent(ask, submission, told)
            if body.stream:
                submission = _attached(submission)
        except BaseException:
            await inputs.dismiss()
            raise
        if body.stream:
            try:
                await gateway.stream(ask, submission, ImageWriter("image_edit", members).begun)
            finally:
                await inputs.dismiss()
            return
        await _answer(gateway, ask, filed, body, await inputs.whole(submission))

    return {("POST", "/v1/images/generations"): generations, ("POST", "/v1/images/edits"): edits}


def open_endpoints(gateway: Gateway, filed: Filed) -> Mapping[tuple[str, str], ASGIApp]:
    """What needs no key, because ids of files can't be guessed: images, and no other files."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            upload = await filed.get(path_params(scope)["id"])
            if not upload.media_type.startswith("image/"):
                raise NotFound(f"there is no image {upload.id[:200]!r}")
            upload, file = await filed.open(upload.id)
        except PromptdError as error:
            await gateway.refuse(Ask(scope, receive, send), error)
            return
        sending = Sending(file, upload.name, upload.digest, gateway.options.stuck_reader_seconds, upload.media_type)
        await sending(scope, receive, send)

    return {("GET", f"{_FILES}{{id}}"): serve, ("HEAD", f"{_FILES}{{id}}"): serve}


# ---------------------------------------------------------------- what is asked


def _members(inputs: Inputs) -> tuple[dict[str, Any], tuple[str, ...], int | None]:
    """Of a form: its fields, numbers as numbers; its files, the images first; and which one is the mask.

    Raises `InvalidRequest`.
    """
    files = [upload.id for name in ("image", "image[]") for upload in inputs.files.get(name, ())]
    if not files:
        raise InvalidRequest(field="image", expected="at least one image")
    masks = [upload.id for upload in inputs.files.get("mask", ())]
    if len(masks) > 1 or "mask" in inputs.form.fields:
        raise InvalidRequest(field="mask", expected="one file")
    members: dict[str, Any] = {}
    for name in inputs.form.fields:
        text = inputs.form.text(name) or ""
        is_number = (
            name in ("n", "output_compression", "partial_images")
            and text.isascii()
            and text.isdigit()
            and len(text) < 10
        )
        members[name] = int(text) if is_number else text
    if "stream" in members:
        members["stream"] = {"true": True, "false": False}.get(str(members["stream"]).lower(), members["stream"])
    return members, (*files, *masks), len(files) if masks else None


def _converted(members: dict[str, Any]) -> _Body:
    try:
        return msgspec.convert(members, _Body)
    except msgspec.ValidationError as error:
        raise wrong.invalid(error) from None


def _attached(submission: Submission) -> Submission:
    """Raises `InvalidRequest` where the prompt outlives its line: what it shows on the way is not kept."""
    if submission.mode is not Mode.ATTACHED:
        raise InvalidRequest(field="stream", expected="false, where images come with an Idempotency-Key")
    return submission


def _submission(
    ask: Ask, body: _Body, members: dict[str, Any], files: tuple[str, ...], mask: int | None = None
) -> Submission:
    """Raises `InvalidRequest`."""
    if not body.prompt.strip():
        raise InvalidRequest(field="prompt", expected="a text")
    if body.stream and body.response_format == "url":
        raise InvalidRequest(field="response_format", expected="b64_json on a stream")
    if body.partial_images and not body.stream:
        raise InvalidRequest(field="partial_images", expected="none, unless stream is true")
    if body.response_format not in (None, "b64_json", "url"):
        raise InvalidRequest(field="response_format", expected="b64_json or url")
    if body.output_format is not None and body.output_format not in _FORMATS:
        raise InvalidRequest(field="output_format", expected="png, jpeg or webp")
    width = height = None
    if body.size not in (None, "auto"):
        match = _SIZE.fullmatch(body.size)
        if match is None:
            raise InvalidRequest(field="size", expected="auto, or a width and a height such as 1024x1024")
        width, height = int(match[1]), int(match[2])
    extra = {name: value for name, value in members.items() if name not in _KNOWN and value is not None}
    image = ImageParameters(
        batch_size=body.n,
        width=width,
        height=height,
        format=_FORMATS[body.output_format] if body.output_format is not None else None,
        mask=mask,
        partial_images=body.partial_images or None,
        extra=extra,
    )
    return Submission(
        caller=ask.caller,
        request=Request(
            messages=(Turn("user", body.prompt),),
            parameters=Parameters(image=image, user=body.user),
            files=files,
        ),
        model=body.model or None,
        mode=Mode.ATTACHED,
        capability=Capability.IMAGE,
        prefix="img",
    )


# ---------------------------------------------------------------- what is answered


async def _answer(gateway: Gateway, ask: Ask, filed: Filed, body: _Body, whole: Whole) -> None:
    prompt, usage = whole.prompt, whole.answer.usage
    if body.response_format == "url":
        files = list(whole.answer.files) or await keep(gateway, ask, filed, whole.blobs, _HOUR)
        data = [{"url": _address(ask, identifier)} for identifier in files]
    else:
        data = [{"b64_json": b64encode(blob.data).decode()} for blob in await blobs_of(gateway, whole)]
    if not data:
        raise InvalidOutput("the engine made no image")
    answer: dict[str, Any] = {"created": int(prompt.created), "data": data}
    for name in ("size", "output_format"):
        if (value := getattr(body, name)) is not None:
            answer[name] = value
    if usage != Usage():
        answer["usage"] = image_usage(usage)
    await gateway.reply(ask, encode(answer), prompt)


def _address(ask: Ask, identifier: str) -> str:
    """Where this caller reaches a file: at the host that it asked."""
    host = ask.headers.get(b"host", b"")
    if not _HOST.fullmatch(host):
        server = ask.scope.get("server") or ("localhost", None)
        host = f"{server[0]}:{server[1]}".encode()
    return f"{ask.scope['scheme']}://{host.decode()}{_FILES}{identifier}"
