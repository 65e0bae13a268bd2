"""Command lines that submit one prompt and read it back."""

from __future__ import annotations

import pytest

from tests.contract.stage import Person, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def test_a_sync_prompt_prints_the_finished_prompt_and_its_answer(admin: Person) -> None:
    said = admin.sh('oo post /prompt-svc/prompt --prompt="Why is the sea salty?" --sync=true')
    assert said.json.keys() == {"prompt", "responseMessage"}
    prompt, message = said.json["prompt"], said.json["responseMessage"]
    assert prompt["status"] == "completed"
    assert prompt["prompt"] == "Why is the sea salty?"
    assert prompt["runCount"] == 1
    assert prompt["threadId"] == prompt["id"] == prompt["requestMessageId"]
    assert prompt["responseMessageId"] == message["id"]
    assert message["threadId"] == prompt["threadId"]
    assert message["text"].strip()
    assert "userId" not in message
    assert said.out.startswith('{\n  "prompt": {\n    "id": ')  # indented by two, members in the server's order


def test_an_async_prompt_is_scheduled_and_its_answer_is_in_its_thread(admin: Person) -> None:
    prompt = admin.sh('oo post /prompt-svc/prompt --prompt="Name three rivers."').json["prompt"]
    assert prompt["status"] == "scheduled"
    assert "runCount" not in prompt
    assert prompt["lastRun"] == "0001-01-01T00:00:00Z"
    # one thread is serial: when this one is done, so is the first
    admin.sh('oo post /prompt-svc/prompt --prompt="And lakes?" --threadId="$THREAD" --sync=true', THREAD=prompt["id"])
    line = 'oo post /chat-svc/messages --threadId="$THREAD"'
    messages = admin.sh(line, THREAD=prompt["id"]).json["messages"]
    assert (messages[0]["id"], messages[0]["text"]) == (prompt["id"], "Name three rivers.")
    assert messages[0]["userId"] == prompt["userId"]
    answers = [message for message in messages if "userId" not in message]
    assert len(answers) == 2
    assert answers[0]["text"].strip()


@pytest.mark.parametrize(
    "flag",
    [
        '--parameters.textToText.template="<s>[INST] {prompt} [/INST]\\nAnswer: "',
        '--engineParameters.llamaCpp.template="<s>[INST] {prompt} [/INST]\\nAnswer: "',
        '--engineParameters.llamaCppParameters.template="<s>[INST] {prompt} [/INST]\\nAnswer: "',
    ],
    ids=["textToText", "llamaCpp", "llamaCppParameters"],
)
def test_a_template_reaches_the_model_with_its_newline(script_admin: Person, flag: str) -> None:
    """The scripted engine repeats what it was given."""
    said = script_admin.sh(f'oo post /prompt-svc/prompt --prompt="Spell rhythm" {flag} --sync=true')
    assert said.json["responseMessage"]["text"] == "<s>[INST] Spell rhythm [/INST]\nAnswer: "
    assert said.json["prompt"]["prompt"] == "Spell rhythm"
    # strict clients know no `llamaCpp`
    assert said.json["prompt"].get("engineParameters", {}).keys() <= {"llamaCppParameters", "stableDiffusion"}


def test_a_template_s_system_message_is_filled(script_admin: Person) -> None:
    line = (
        'oo post /prompt-svc/prompt --prompt="Hello" --sync=true '
        '--engineParameters.llamaCpp.template="<|system|>\\n{system_message}</s>\\n<|user|>\\n{prompt}</s>"'
    )
    text = script_admin.sh(line).json["responseMessage"]["text"]
    assert text == "<|system|>\nYou are a helpful assistant.</s>\n<|user|>\nHello</s>"


def test_a_template_reaches_the_real_model(builtin_admin: Person) -> None:
    """Raw text has no end for a chat model: it is stopped as soon as it has begun."""
    identifier = unique("raw")
    with builtin_admin.listening(identifier) as listener:
        line = (
            'oo post /prompt-svc/prompt --id="$ID" --prompt="What is a verb?" '
            '--engineParameters.llamaCpp.template="Question: {prompt}\\nAnswer:"'
        )
        assert builtin_admin.sh(line, ID=identifier).json["prompt"]["status"] == "scheduled"
        assert listener.next_event()["type"] == "progress"
        builtin_admin.sh('oo delete "/prompt-svc/prompt/$ID"', ID=identifier)


def test_a_model_is_named_and_its_status_asked_for(admin: Person, kind: str) -> None:
    model = {"builtin": "demo", "scripted": "script"}[kind]
    said = admin.sh('oo post /prompt-svc/prompt --modelId="$MODEL" --prompt="Count to three" --sync=true', MODEL=model)
    assert said.json["prompt"]["modelId"] == model
    assert said.json["responseMessage"]["meta"]["modelId"] == model
    assert admin.sh('oo get "/model-svc/model/$MODEL/status"', MODEL=model).json["status"]["running"] is True
    listed = admin.sh("oo post /model-svc/models").json["models"]
    assert model in [each["id"] for each in listed]


def test_an_unknown_model_is_refused_in_words(admin: Person) -> None:
    said = admin.sh('oo post /prompt-svc/prompt --prompt="x" --modelId="no/such-model" --sync=true', code=1)
    assert said.out.strip() == ""
    assert said.err.startswith("Error: HTTP request to /prompt-svc/prompt failed with status 4")


def test_numbers_and_truth_words_stand_for_texts(admin: Person) -> None:
    thread = unique("7")
    line = 'oo post /prompt-svc/prompt --prompt=42 --threadId="$THREAD" --maxRetries=2 --sync=t'
    prompt = admin.sh(line, THREAD=thread).json["prompt"]
    assert prompt["prompt"] == "42"
    assert prompt["maxRetries"] == 2
    assert prompt["sync"] is True
    assert admin.sh("oo post /prompt-svc/prompt --prompt=true --sync=true").json["prompt"]["prompt"] == "true"


@pytest.mark.parametrize(
    "line",
    [
        'oo delete "/prompt-svc/prompt/$ESCAPED"',
        'oo post /prompt-svc/remove --promptId="$ID"',
        'curl -sSf -X DELETE "$URL/prompt-svc/prompt/$ESCAPED" -H "Authorization: Bearer $TOKEN"',
        'curl -sSf -X DELETE "$URL/prompt-svc/prompt/$ESCAPED" -H "Authorization: Bearer $TOKEN" -d \'{"promptId": "other"}\'',
    ],
    ids=["oo delete", "remove", "curl", "curl with a body"],
)
def test_three_ways_to_cancel_and_remove(script_admin: Person, line: str) -> None:
    """First it is canceled, then it is gone, then there is nothing to do; each answers {}."""
    identifier = unique("cancel me")
    escaped = identifier.replace(" ", "%20")
    script_admin.call("POST", "/prompt-svc/prompt", {"id": identifier, "prompt": '[{"hang": true}]'})
    assert script_admin.sh(line, ID=identifier, ESCAPED=escaped).json == {}
    query = {"query": {"filters": [{"field": "id", "operator": "equals", "value": identifier}]}}
    (found,) = script_admin.call("POST", "/prompt-svc/prompts", query)["prompts"]
    assert found["status"] == "canceled"
    assert script_admin.sh(line, ID=identifier, ESCAPED=escaped).json == {}
    assert script_admin.call("POST", "/prompt-svc/prompts", query)["prompts"] == []
    assert script_admin.sh(line, ID=identifier, ESCAPED=escaped).json == {}


def test_a_canceled_prompt_can_be_submitted_again(script_admin: Person) -> None:
    identifier = unique("again")
    script_admin.sh('oo post /prompt-svc/prompt --id="$ID" --prompt=\'[{"hang": true}]\'', ID=identifier)
    script_admin.sh('oo delete "/prompt-svc/prompt/$ID"', ID=identifier)
    said = script_admin.sh('oo post /prompt-svc/prompt --id="$ID" --prompt="Now really" --sync=true', ID=identifier)
    assert said.json["prompt"]["id"] == identifier
    assert said.json["prompt"]["status"] == "completed"
    assert said.json["responseMessage"]["text"] == "Now really"


def test_a_prompt_without_a_login_is_refused(admin: Person) -> None:
    """As 1Backend does: 422 without a token, 401 with a wrong one."""
    status = 'curl -sS -o /dev/null -w \'%{http_code}\' -X POST "$URL/prompt-svc/prompt" -d \'{"prompt": "x"}\''
    assert admin.sh(status).out == "422"
    assert admin.sh(f'{status} -H "Authorization: Bearer nonsense"').out == "401"
    assert admin.sh(f'{status} -H "Authorization: Bearer $TOKEN"').out == "200"


def test_types_answers(admin: Person) -> None:
    assert isinstance(admin.sh("oo post /prompt-svc/types").json, dict)
