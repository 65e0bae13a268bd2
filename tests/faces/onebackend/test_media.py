"""Files of a prompt of this wire on their way to models that see, read and listen, and sounds on their way back."""

from __future__ import annotations

import importlib.util
import io
import shutil
import wave
import zipfile
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from promptd.testing import media
from tests.documents.pdfs import pdf
from tests.faces.onebackend.clients import Wire, error
from tests.faces.onebackend.studio import Studio, studio

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBMIT = "/prompt-svc/prompt"
SENTENCE = "Hello world, please open the door and turn on the light."
RULES = {"Text-to-Speech": {"model": "voice"}, "Automatic Speech Recognition": {"model": "voice"}}

needs_voice = pytest.mark.skipif(
    shutil.which("flite") is None and importlib.util.find_spec("espeakng_loader") is None,
    reason="neither flite nor the extra `espeak` is installed",
)
needs_ears = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None, reason="the extra `audio` is not installed"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    async with studio(tmp_path_factory.mktemp("media"), compat={"onebackend": {"types": RULES}}) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(lab: Studio) -> Wire:
    return await lab.person("ann")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    return out.getvalue()


# ------------------------------------------------------------------ models that see


@pytest.mark.parametrize("model", [None, "eyes", "templated"])
async def test_an_image_reaches_a_model_that_sees(lab: Studio, ann: Wire, model: str | None) -> None:
    """Also where the model has a template of its own, and where the default model is blind."""
    picture = media.png("seen")
    identifier = await lab.upload("seen.png", "image/png", picture)
    answer = await ann.answered("what is it?", fileIds=[identifier], **({"modelId": model} if model else {}))
    assert answer["prompt"]["status"] == "completed", answer
    assert (answer["prompt"]["modelId"], answer["prompt"]["type"]) == (model or "eyes", "Image-Text-to-Text")
    assert answer["responseMessage"]["text"].split() == ["what", "is", "it?", "image_url"]
    received = lab.upstream.calls[-1]
    assert received.path == "/v1/chat/completions"
    text, image = received.body["messages"][-1]["content"]
    assert text == {"type": "text", "text": "what is it?"}
    head, _, data = image["image_url"]["url"].partition(",")
    assert (head, b64decode(data)) == ("data:image/png;base64", picture)
    question = (await ann.ok("GET", f"/chat-svc/message/{answer['prompt']['id']}"))["message"]
    assert (question["text"], question["fileIds"]) == ("what is it?", [identifier])


async def test_the_command_line_sends_file_ids_as_text(lab: Studio, ann: Wire) -> None:
    files = [await lab.upload(f"{name}.png", "image/png", media.png(name)) for name in ("one", "two")]
    text = msgspec.json.encode(files).decode()
    answer = await ann.answered("which?", type="visual-question-answering", fileIds=text)
    assert answer["prompt"]["type"] == "Visual Question Answering"
    assert answer["responseMessage"]["text"].split() == ["which?", "image_url", "image_url"]


async def test_a_model_without_files_keeps_its_template(lab: Studio, ann: Wire) -> None:
    answer = await ann.answered("words", modelId="templated")
    assert (lab.upstream.calls[-1].path, lab.upstream.calls[-1].body["prompt"]) == (
        "/v1/completions",
        "[INST] words [/INST]",
    )
    assert answer["prompt"]["type"] == "Text-to-Text"


# ------------------------------------------------------------------ documents


@pytest.mark.parametrize(
    ("name", "media_type", "data", "text"),
    [
        ("notes.txt", "text/plain", "grün\nund gut".encode(), "grün\nund gut"),
        ("page.pdf", "application/pdf", pdf("the first page", "the second page"), "the first page"),
        ("code.py", "application/octet-stream", b"print(1)", "print(1)"),
        ("data.json", "application/json", b'{"a": 1}', '{"a": 1}'),
    ],
)
async def test_a_document_is_read_to_a_model(
    lab: Studio, ann: Wire, name: str, media_type: str, data: bytes, text: str
) -> None:
    identifier = await lab.upload(name, media_type, data)
    answer = await ann.answered("what does it say?", fileIds=[identifier])
    said = answer["responseMessage"]["text"]
    assert said.startswith(f"[{name}]\n{text}")
    assert said.endswith("\n\nwhat does it say?")
    question = (await ann.ok("GET", f"/chat-svc/message/{answer['prompt']['id']}"))["message"]
    assert question["text"] == answer["prompt"]["prompt"] == "what does it say?", "what was typed, not what was read"


async def test_a_document_stands_inside_the_template(lab: Studio, ann: Wire) -> None:
    identifier = await lab.upload("notes.txt", "text/plain", b"the facts")
    template = {"parameters": {"textToText": {"template": "<< {prompt} >>"}}}
    answer = await ann.answered("why?", fileIds=[identifier], **template)
    assert answer["responseMessage"]["text"] == "<< [notes.txt]\nthe facts\n\nwhy? >>"


async def test_a_document_and_an_image_together(lab: Studio, ann: Wire) -> None:
    files = [
        await lab.upload("notes.txt", "text/plain", b"the facts"),
        await lab.upload("seen.png", "image/png", media.png("seen")),
    ]
    answer = await ann.answered("why?", fileIds=files)
    assert answer["prompt"]["modelId"] == "eyes"
    text, image = lab.upstream.calls[-1].body["messages"][-1]["content"]
    assert (text["text"], image["type"]) == ("[notes.txt]\nthe facts\n\nwhy?", "image_url")


async def test_a_file_that_is_not_what_it_says_fails_with_its_name(lab: Studio, ann: Wire) -> None:
    broken = await lab.upload("broken.pdf", "application/pdf", b"no pdf at all")
    answer = await ann.answered("what?", fileIds=[broken])
    assert (answer["prompt"]["status"], answer["prompt"]["runCount"]) == ("abandoned", 1)
    assert "broken.pdf" in answer["prompt"]["error"]


async def test_a_file_that_was_deleted_meanwhile_is_told(lab: Studio, ann: Wire) -> None:
    identifier = await lab.upload("gone.txt", "text/plain", b"x")
    hold = '[{"hang": true}]'
    await ann.ask(hold, id="in-front", threadId="deleted-file")
    await ann.ask("what?", id="behind", threadId="deleted-file", fileIds=[identifier])
    assert (await lab.server.admin.call("DELETE", f"/file-svc/upload/{identifier}")).status == 200
    await ann.ok("DELETE", "/prompt-svc/prompt/in-front")
    answer = await ann.answered("what?", id="behind")
    assert answer["prompt"]["status"] == "abandoned"
    assert identifier in answer["prompt"]["error"]


# ------------------------------------------------------------------ refusals

FILES: dict[str, tuple[str, bytes]] = {
    "a.png": ("image/png", media.png()),
    "a.svg": ("image/svg+xml", b"<svg/>"),
    "a.txt": ("text/plain", b"x"),
    "a.wav": ("audio/wav", media.wav("x")),
    "a.zip": ("application/zip", zipped()),
    "a.bin": ("application/octet-stream", b"\0\1"),
    "a.docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", zipped()),
}


@pytest.mark.parametrize(
    ("files", "members", "named"),
    [
        (["a.png"], {"modelId": "demo"}, "fileIds: the model 'demo' does not do vision"),
        (["a.wav"], {}, "fileIds[0]"),
        (["a.zip"], {}, "fileIds[0]"),
        (["a.svg"], {}, "fileIds[0]"),
        (["a.svg"], {"parameters": {"textToImage": {}}}, "fileIds[0]"),
        (["a.bin"], {}, "fileIds[0]"),
        (["a.docx"], {}, "fileIds[0]"),
        (["a.txt", "a.zip"], {}, "fileIds[1]"),
        (["a.wav"], {"modelId": "eyes"}, "fileIds[0]"),
        (["a.txt"], {"parameters": {"textToImage": {}}}, "fileIds[0]"),
        (["a.wav"], {"type": "Image-to-Image"}, "fileIds[0]"),
        (["a.png"], {"type": "Text-to-Speech"}, "fileIds[0]"),
        (["a.txt"], {"type": "Automatic Speech Recognition"}, "fileIds[0]"),
        ([], {"type": "Automatic Speech Recognition"}, "fileIds"),
        (["a.txt"] * 33, {}, "fileIds"),
        (
            ["a.png"],
            {"parameters": {"textToText": {"template": "<{prompt}>"}}},
            "parameters.textToText.template",
        ),
        (
            ["a.png"],
            {"engineParameters": {"llamaCppParameters": {"template": "<{prompt}>"}}},
            "engineParameters.llamaCpp.template",
        ),
    ],
)
async def test_what_a_model_cannot_take_is_refused_and_named(
    lab: Studio, ann: Wire, files: list[str], members: dict[str, Any], named: str
) -> None:
    ids = {name: await lab.upload(name, *FILES[name]) for name in set(files)}
    told = error(await ann.post(SUBMIT, {"prompt": "x", "fileIds": [ids[name] for name in files], **members}), 400)
    assert told.startswith(f"Invalid JSON: {named}"), told


@pytest.mark.parametrize("files", [["file-unknown"], '["file-unknown"]', "file-unknown", [""], [7]])
async def test_an_unknown_file_is_refused(ann: Wire, files: Any) -> None:
    assert "fileIds[0]" in error(await ann.post(SUBMIT, {"prompt": "x", "fileIds": files}), 400)


# ------------------------------------------------------------------ sounds


@needs_voice
@needs_ears
async def test_speech_of_this_machine_is_understood_by_it(lab: Studio, ann: Wire) -> None:
    spoken = await ann.answered(SENTENCE, type="Text-to-Speech")
    assert (spoken["prompt"]["status"], spoken["prompt"]["modelId"]) == ("completed", "voice")
    message = spoken["responseMessage"]
    assert "text" not in message, "a sound is no image"
    (identifier,) = message["fileIds"]
    kept = await lab.server.house.walk.uploads.get(identifier)
    assert (kept.media_type, kept.user) == ("audio/wav", ann.user)
    with wave.open(io.BytesIO((await lab.served(identifier))[1])) as sound:
        assert sound.getnframes() > sound.getframerate(), "more than a second"
    heard = await ann.answered("", type="Automatic Speech Recognition", fileIds=[identifier])
    assert (heard["prompt"]["status"], heard["prompt"]["modelId"]) == ("completed", "voice")
    words = set(heard["responseMessage"]["text"].lower().split())
    assert {"hello", "door"} <= words
    assert "fileIds" not in heard["responseMessage"]


@needs_voice
async def test_the_wishes_for_speech_reach_the_engine(lab: Studio, ann: Wire) -> None:
    async def seconds(**wishes: Any) -> float:
        answer = await ann.answered(SENTENCE, type="text-to-speech", parameters={"textToSpeech": wishes})
        (identifier,) = answer["responseMessage"]["fileIds"]
        with wave.open(io.BytesIO((await lab.served(identifier))[1])) as sound:
            return float(sound.getnframes() / sound.getframerate())

    assert await seconds(speed="2") < 0.75 * await seconds()
    refused = await ann.answered(SENTENCE, type="text-to-speech", parameters={"textToSpeech": {"format": "mp3"}})
    assert (refused["prompt"]["status"], "format" in refused["prompt"]["error"]) == ("abandoned", True)


async def test_speech_and_recognition_of_a_service(lab: Studio, ann: Wire) -> None:
    spoken = await ann.answered(
        "say this", type="Text-to-Speech", modelId="maker", parameters={"textToSpeech": {"format": "wav"}}
    )
    (identifier,) = spoken["responseMessage"]["fileIds"]
    assert media.comment_of((await lab.served(identifier))[1]) == "say this"
    assert "text" not in spoken["responseMessage"]
    heard = await ann.answered("", type="Automatic Speech Recognition", modelId="maker", fileIds=[identifier])
    assert heard["responseMessage"]["text"] == "say this"
    assert lab.upstream.calls[-1].path == "/v1/audio/transcriptions"


async def test_a_sound_ends_a_subscribers_wait(lab: Studio, ann: Wire) -> None:
    async with ann.subscribed("aloud") as stream:
        answer = await ann.answered("say this", threadId="aloud", type="Text-to-Audio", modelId="maker")
        assert await stream.next() == {"messageId": answer["responseMessage"]["id"], "type": "done"}
