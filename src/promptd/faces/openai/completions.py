"""`POST /v1/completions`, the API's older form: raw text in, its continuation out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from promptd.core.errors import InvalidRequest
from promptd.core.model import Answer, Capability, Chunk, Mode, Native, Prompt, Submission
from promptd.dialects import chat
from promptd.dialects.asked import Asked
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai import several
from promptd.faces.openai.table import Table
from promptd.service.batches import Decoded

DIALECT: Final = "openai.completions"
_MOST: Final = 128  # choices of one request


async def completions(gateway: Gateway, ask: Ask) -> None:
    body = await gateway.body(ask)
    choices = _Choices(chat.decode_completions(body))
    capability = gateway.text_capability(ask, choices.first.model)
    submissions = [_submission(gateway, ask, one, capability) for one in choices.asked]
    if len(submissions) == 1 and capability is Capability.COMPLETION:
        native = Native(DIALECT, body, choices.first.stream, choices.first.usage)
        submissions = [replace(submissions[0], native=native)]
    keyed = [gateway.idempotent(ask, submission, body) for submission in submissions]
    if not choices.first.stream:
        await _whole(gateway, ask, choices, _apart(keyed))
        return
    if len(keyed) == 1:
        await gateway.stream(ask, keyed[0], choices.writer)
        return
    if keyed[0].mode is Mode.QUEUED:
        raise InvalidRequest(field="stream", expected="false, where several prompts come with an Idempotency-Key")
    await several.stream(gateway, ask, keyed, choices.writer)


async def _whole(gateway: Gateway, ask: Ask, choices: _Choices, submissions: Sequence[Submission]) -> None:
    if len(submissions) == 1:
        whole = await gateway.whole(ask, submissions[0])
        prompt, raw, answers = whole.prompt, whole.raw, [whole.answer]
    else:
        wholes = await several.wholes(gateway, ask, submissions)
        prompt, raw, answers = wholes[0].prompt, None, [whole.answer for whole in wholes]
    await gateway.reply(ask, raw or choices.encoder()(answers, prompt), prompt)


def _apart(submissions: Sequence[Submission]) -> list[Submission]:
    """Prompts of one request under keys of their own: under one key all would be the first."""
    if len(submissions) == 1 or submissions[0].idempotency_key is None:
        return list(submissions)
    return [
        replace(submission, idempotency_key=f"{submission.idempotency_key}\0{place}")
        for place, submission in enumerate(submissions)
    ]


def _submission(gateway: Gateway, ask: Ask, asked: Asked, capability: Capability) -> Submission:
    return Submission(
        caller=ask.caller,
        request=asked.request,
        model=asked.model,
        mode=Mode.ATTACHED,
        capability=capability,
        prefix="cmpl",
        keep=asked.keep,
        affinity=gateway.affinity(ask, asked.request),
    )


class _Choices:
    """What one request asks: `n` answers for each of its texts, with the text before them where it is to be echoed."""

    def __init__(self, given: Sequence[Asked]) -> None:
        """Raises `InvalidRequest`."""
        asked = given[0].request.parameters
        number, extra = asked.n, dict(asked.extra)
        echo = extra.pop("echo", False) is True
        if number * len(given) > _MOST:
            raise InvalidRequest(field="n", expected=f"at most {_MOST} choices for all prompts together")
        if echo and asked.logprobs:
            raise InvalidRequest(field="echo", expected="false, where `logprobs` are asked for")
        parameters = replace(asked, n=1, extra=extra)
        self.asked = tuple(
            replace(one, request=replace(one.request, parameters=parameters)) for one in given for _ in range(number)
        )
        self.first = self.asked[0]
        self._before = [one.request.messages[0].content if echo else "" for one in self.asked]

    def encoder(self) -> Callable[[Sequence[Answer], Prompt], bytes]:
        """Makes the body of the answers; the prompt is the first one. It does not hold the requests."""
        before, model = self._before, self.first.model

        def encode(answers: Sequence[Answer], prompt: Prompt) -> bytes:
            told = [
                replace(answer, text=text + answer.text) if text else answer
                for text, answer in zip(before, answers, strict=True)
            ]
            return chat.encode_completion(told, id=prompt.id, model=model or prompt.model, created=prompt.created)

        return encode

    def writer(self, prompt: Prompt) -> _Writer:
        writer = chat.CompletionWriter(
            id=prompt.id,
            model=self.first.model or prompt.model,
            created=prompt.created,
            usage=self.first.usage,
            choices=len(self.asked),
        )
        return _Writer(writer, self._before)


class _Writer:
    """Says each text again before the first chunk of its answer."""

    def __init__(self, writer: chat.CompletionWriter, texts: Sequence[str]) -> None:
        self._writer, self._texts = writer, dict(enumerate(texts))

    def begin(self) -> bytes:
        return self._writer.begin()

    def write(self, chunk: Chunk, index: int = 0) -> bytes:
        text = self._texts.pop(index, "")
        before = self._writer.write(Chunk("progress", text=text), index) if text else b""
        return before + self._writer.write(chunk, index)

    def fail(self, error: Any) -> bytes:
        return self._writer.fail(error)


def decode_line(body: bytes) -> Decoded:
    """The request of a batch. Raises `InvalidRequest`."""
    choices = _Choices(chat.decode_completions(body))
    make = choices.encoder()

    def encode(prompts: Sequence[Prompt]) -> bytes:
        return make([prompt.answer or Answer("") for prompt in prompts], prompts[0])

    return Decoded(choices.asked, encode)


ENDPOINTS: Final[Table] = {("POST", "/v1/completions"): completions, ("POST", "/completions"): completions}
