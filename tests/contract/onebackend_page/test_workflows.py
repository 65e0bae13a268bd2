"""Scripts that chain prompts: a code pipeline, a content workflow, the analysis of a document."""

from __future__ import annotations

import json

import pytest

from tests.contract.stage import Person, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

# what the steps of a script share: the members of an answer, without a tool that the machine may not have
PICK = """
pick() { python3 -c 'import json, sys; d = json.load(sys.stdin); [d := d[k] for k in sys.argv[1].split(".")]; print(d)' "$1"; }
"""


def test_a_code_pipeline_hands_each_answer_to_the_next_step(script_alice: Person) -> None:
    line = f"""
        set -euo pipefail
        {PICK}
        CODE=$(oo post /prompt-svc/prompt --prompt="def area(r): return 3.14 * r * r" --sync=true | pick responseMessage.text)
        REVIEW=$(oo post /prompt-svc/prompt --prompt="Review this: $CODE" --sync=true | pick responseMessage.text)
        oo post /prompt-svc/prompt --prompt="Tests for: $CODE, mind: $REVIEW" --sync=true | pick responseMessage.text
    """
    code = "def area(r): return 3.14 * r * r"
    assert script_alice.sh(line).out.rstrip("\n") == f"Tests for: {code}, mind: Review this: {code}"


def test_a_code_pipeline_runs_on_either_model(alice: Person, kind: str) -> None:
    model = {"builtin": "demo", "scripted": "script"}[kind]
    line = f"""
        set -euo pipefail
        {PICK}
        ID=$(oo post /prompt-svc/prompt --modelId="$MODEL" --prompt="A function that adds" --sync=true | pick prompt.id)
        oo post /prompt-svc/prompt --modelId="$MODEL" --threadId="$ID" --prompt="Now document it" --sync=true
    """
    prompt = alice.sh(line, MODEL=model).json["prompt"]
    assert (prompt["status"], prompt["modelId"]) == ("completed", model)


def test_a_content_workflow_makes_text_then_an_image_of_it(script_alice: Person) -> None:
    """Text, then pictures by both kinds of parameters; the image prompts name no model."""
    line = f"""
        set -euo pipefail
        {PICK}
        STORY=$(oo post /prompt-svc/prompt --prompt="A lighthouse in fog" --sync=true | pick responseMessage.text)
        oo post /prompt-svc/prompt --prompt="$STORY" --sync=true \\
            --parameters.textToImage.width=64 --parameters.textToImage.height=32 \\
            --parameters.textToImage.guidanceScale=7.5 --parameters.textToImage.steps=12 \\
            --parameters.textToImage.batchSize=2 > high-level.json
        oo post /prompt-svc/prompt --prompt="$STORY" --sync=true \\
            --engineParameters.stableDiffusion.txt2Img.width=48 --engineParameters.stableDiffusion.txt2Img.height=24 \\
            --engineParameters.stableDiffusion.txt2Img.num_inference_steps=12 \\
            --engineParameters.stableDiffusion.txt2Img.guidance_scale=7.5 > engine.json
    """
    script_alice.sh(line)
    for name, width, height, count in (("high-level.json", 64, 32, 2), ("engine.json", 48, 24, 1)):
        said = json.loads((script_alice.home / name).read_text())
        assert said["prompt"]["status"] == "completed", said
        assert said["prompt"]["type"] == "Text-to-Image"
        file_id, *others = said["responseMessage"]["fileIds"]
        assert len({file_id, *others}) == count
        assert said["responseMessage"]["text"] == "Sure, here is your image"
        script_alice.sh('curl -sSf -o picture.png "$URL/file-svc/serve/upload/$FILE"', FILE=file_id)
        picture = (script_alice.home / "picture.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (width, height)
    parameters = json.loads((script_alice.home / "engine.json").read_text())["prompt"]["engineParameters"]
    made = parameters["stableDiffusion"]["txt2Img"]
    assert (made["steps"], made["cfg_scale"]) == (12, 7.5)  # echoed under the names that strict clients know
    assert "num_inference_steps" not in made


def test_an_image_prompt_ends_its_stream(script_alice: Person) -> None:
    thread = unique("picture")
    with script_alice.listening(thread) as listener:
        line = 'oo post /prompt-svc/prompt --threadId="$T" --prompt="A kite" --parameters.textToImage.width=8'
        script_alice.sh(line, T=thread)
        (event,) = listener.events()
    assert event["type"] == "done"
    (message,) = script_alice.call("POST", "/chat-svc/messages", {"ids": [event["messageId"]]})["messages"]
    assert message["fileIds"]


def test_a_document_is_uploaded_and_asked_about(alice: Person) -> None:
    """`fileIds` arrives as JSON in a string."""
    (alice.home / "minutes.txt").write_text("The meeting decided to plant an elm in the yard.\n")
    line = """
        set -euo pipefail
        curl -sSf -X PUT "$URL/file-svc/upload" -H "Authorization: Bearer $TOKEN" -F "file=@minutes.txt"
    """
    upload = alice.sh(line).json["upload"]
    assert (upload["fileName"], upload["fileSize"]) == ("minutes.txt", 49)
    line = """oo post /prompt-svc/prompt --prompt="Which tree?" --fileIds='["'$FILE'"]' --sync=true"""
    said = alice.sh(line, FILE=upload["fileId"]).json
    assert said["prompt"]["status"] == "completed"
    messages = alice.call("POST", "/chat-svc/messages", {"threadId": said["prompt"]["threadId"]})["messages"]
    assert messages[0]["fileIds"] == [upload["fileId"]]
    assert messages[0]["text"] == "Which tree?"
    served = alice.sh('curl -sSf "$URL/file-svc/serve/upload/$FILE"', FILE=upload["fileId"])
    assert served.out == "The meeting decided to plant an elm in the yard.\n"


def test_a_file_that_is_not_there_is_named(alice: Person) -> None:
    said = alice.sh("oo post /prompt-svc/prompt --prompt=x --fileIds='[\"file-none\"]' --sync=true", code=1)
    assert "fileIds" in said.err
    assert "status 4" in said.err


def test_a_batch_of_prompts_keeps_the_ids_of_its_caller(alice: Person) -> None:
    """Sent twice, as after a broken connection: nothing runs twice."""
    run = unique("batch")
    line = """
        set -euo pipefail
        for round in 1 2; do
            for number in 1 2 3; do
                oo post /prompt-svc/prompt --id="$RUN-$number" --threadId="$RUN" --prompt="Item $number" > /dev/null
            done
        done
        oo post /prompt-svc/prompt --id="$RUN-end" --threadId="$RUN" --prompt="That was all" --sync=true > /dev/null
        oo post /prompt-svc/prompts --query.count=true \\
            --query.filters='[{"field": "threadId", "operator": "equals", "value": "'$RUN'"}]' \\
            --query.orderBy='[{"field": "createdAt"}]'
    """
    listed = alice.sh(line, RUN=run).json
    assert listed["count"] == 4
    assert [prompt["id"] for prompt in listed["prompts"]] == [f"{run}-{part}" for part in (1, 2, 3, "end")]
    assert {(prompt["status"], prompt["runCount"]) for prompt in listed["prompts"]} == {("completed", 1)}
    messages = alice.call("POST", "/chat-svc/messages", {"threadId": run})["messages"]
    assert len(messages) == 8


def test_an_id_of_somebody_else_is_refused(script_alice: Person, script_bob: Person) -> None:
    identifier = unique("mine")
    line = 'oo post /prompt-svc/prompt --id="$ID" --prompt="$WORDS" --sync=true'
    first = script_alice.sh(line, ID=identifier, WORDS="First").json
    assert script_alice.sh(line, ID=identifier, WORDS="First").json == first
    assert "failed with status 409" in script_bob.sh(line, ID=identifier, WORDS="Mine!", code=1).err
