"""The other endpoints of OpenAI's API by its own SDK."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from typing import Any

import openai
import pytest

from promptd.testing import media
from tests.contract.gateway.both import each, every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import PICTURE, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_models(client: Any) -> None:
    listed = {known.id: known async for known in each(client.models.list())}
    assert {"gpt", "claude", "demo"} <= listed.keys()
    one = await got(client.models.retrieve("gpt"))
    assert (one.id, one.object) == ("gpt", "model")
    assert one.created == listed["gpt"].created
    assert one.owned_by
    with pytest.raises(openai.NotFoundError):
        await got(client.models.retrieve("nothing"))


async def test_completions(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    answer = await got(client.completions.create(model=model, prompt=words, max_tokens=100))
    assert (answer.object, answer.choices[0].finish_reason) == ("text_completion", "stop")
    assert answer.choices[0].text == f"You said: {words}"
    assert answer.usage.completion_tokens == hosts.the(words).output_tokens
    words = unique()
    chunks = await every(client.completions.create(model=model, prompt=words, max_tokens=100, stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == f"You said: {words}"


async def test_completions_of_several_texts(client: Any) -> None:
    one, two = unique(), unique()
    answer = await got(client.completions.create(model="claude", prompt=[one, two], max_tokens=100))
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, f"You said: {one}"),
        (1, f"You said: {two}"),
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        await got(client.completions.create(model="claude", prompt=[1, 2, 3]))
    assert (caught.value.param or "").startswith("prompt")


async def test_embeddings(client: Any) -> None:
    for packed in (None, "float", "base64"):  # without a wish the SDK asks for base64 and unpacks it
        options = {} if packed is None else {"encoding_format": packed}
        answer = await got(client.embeddings.create(model="gpt", input=["a", "bc"], dimensions=6, **options))
        assert [item.index for item in answer.data] == [0, 1]
        if packed == "base64":
            assert len(b64decode(answer.data[1].embedding)) == 24
        else:
            assert answer.data[1].embedding == [2.0, ord("b") / 256, 0.5, -0.25, 2.0, ord("b") / 256]
        assert answer.usage.prompt_tokens == 2
    with pytest.raises(openai.BadRequestError):
        await got(client.embeddings.create(model="gpt", input=[]))


async def test_images(client: Any) -> None:
    answer = await got(client.images.generate(model="maker", prompt=unique(), n=2, response_format="b64_json"))
    pictures = [b64decode(item.b64_json) for item in answer.data]
    assert len(pictures) == 2
    assert all(data.startswith(b"\x89PNG") for data in pictures)
    edited = await got(
        client.images.edit(
            model="maker", prompt="redder", image=("a.png", PICTURE, "image/png"), response_format="b64_json"
        )
    )
    assert b64decode(edited.data[0].b64_json).startswith(b"\x89PNG")


async def test_audio(client: Any) -> None:
    words = "good morning"
    speech = await got(client.audio.speech.create(model="maker", voice="alloy", input=words, response_format="wav"))
    assert media.comment_of(speech.content) == words
    file = ("speech.wav", speech.content, "audio/wav")
    heard = await got(client.audio.transcriptions.create(model="maker", file=file))
    assert heard.text == words


async def test_moderations(client: Any) -> None:
    answer = await got(client.moderations.create(input=["a kind word", "another"]))
    assert [result.flagged for result in answer.results] == [False, False]
    assert answer.results[0].categories.violence is False
    assert answer.results[0].category_scores.violence == 0


async def test_files(client: Any) -> None:
    content = b'{"a": 1}\n' * 1000
    made = await got(client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch"))
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename, made.purpose) == ("file", len(content), "lines.jsonl", "batch")
    assert made.id in [file.id async for file in each(client.files.list(purpose="batch"))]
    assert (await got(client.files.retrieve(made.id))).bytes == len(content)
    assert (await got(client.files.content(made.id))).content == content
    assert (await got(client.files.delete(made.id))).deleted is True
    with pytest.raises(openai.NotFoundError):
        await got(client.files.retrieve(made.id))


def line(number: int, url: str, body: dict[str, Any]) -> str:
    return json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body})


async def finished(client: Any, identifier: str) -> Any:
    """The batch once it is final; the SDK's own users poll too."""
    while True:
        batch = await got(client.batches.retrieve(identifier))
        if batch.status in ("completed", "failed", "cancelled", "expired"):
            return batch


async def lines_of(client: Any, identifier: str) -> dict[str, Any]:
    content = (await got(client.files.content(identifier))).content
    return {entry["custom_id"]: entry for entry in map(json.loads, content.splitlines())}


async def test_batch(client: Any, model: str) -> None:
    words = [unique() for _ in range(5)]
    said = [
        line(n, "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}]})
        for n, text in enumerate(words)
    ]
    said.append(
        line(
            5, "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "x\n/fault context"}]}
        )
    )
    file = await got(client.files.create(file=("in.jsonl", "\n".join(said).encode()), purpose="batch"))
    made = await got(
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"run": "7"}
        )
    )
    assert made.status in ("validating", "in_progress")
    batch = await finished(client, made.id)
    assert (batch.status, batch.metadata) == ("completed", {"run": "7"})
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (6, 5, 1)
    answers = await lines_of(client, batch.output_file_id)
    assert {key: entry["response"]["body"]["choices"][0]["message"]["content"] for key, entry in answers.items()} == {
        f"line-{number}": f"You said: {text}" for number, text in enumerate(words)
    }
    failed = await lines_of(client, batch.error_file_id)
    assert list(failed) == ["line-5"]
    assert made.id in [known.id async for known in each(client.batches.list())]


async def test_batch_that_can_not_run(client: Any) -> None:
    file = await got(client.files.create(file=("in.jsonl", b"this is no JSON\n"), purpose="batch"))
    made = await got(
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    )
    batch = await finished(client, made.id)
    assert batch.status == "failed"
    assert batch.errors.data[0].line == 1


async def test_batch_is_cancelled(client: Any, hosts: Hosts) -> None:
    gate = unique("").strip()
    said = line(0, "/v1/responses", {"model": "gpt", "input": f"{gate}\n/hold {gate}"})
    file = await got(client.files.create(file=("in.jsonl", said.encode()), purpose="batch"))
    made = await got(client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"))
    hosts.holding(gate)
    canceled = await got(client.batches.cancel(made.id))
    assert canceled.status in ("cancelling", "cancelled")
    hosts.release(gate)
    assert (await finished(client, made.id)).status == "cancelled"
