"""A chatbot: a chat thread is made first, prompts go into it, answers are streamed and kept as messages."""

from __future__ import annotations

import json

import pytest

from tests.contract.stage import Person, text_of, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def test_a_conversation_in_a_thread_of_its_own(alice: Person) -> None:
    made = alice.sh('oo post /chat-svc/thread --threadData.title="Help with the boiler"').json["thread"]
    assert made["title"] == "Help with the boiler"
    thread = made["id"]
    said = alice.sh(
        'oo post /prompt-svc/prompt --threadId="$THREAD" --prompt="It makes a noise." --sync=true', THREAD=thread
    )
    assert said.json["prompt"]["threadId"] == thread
    alice.sh('oo post /prompt-svc/prompt --threadId="$THREAD" --prompt="A low hum." --sync=true', THREAD=thread)
    messages = alice.sh('oo post "/chat-svc/thread/$THREAD/messages"', THREAD=thread).json["messages"]
    assert [message["text"] for message in messages if "userId" in message] == ["It makes a noise.", "A low hum."]
    assert len(messages) == 4
    assert all(message["threadId"] == thread for message in messages)
    listed = alice.sh('oo post /chat-svc/messages --threadId="$THREAD"', THREAD=thread).json["messages"]
    assert listed == messages
    assert thread in [each["id"] for each in alice.sh("oo post /chat-svc/threads").json["threads"]]


def test_a_thread_s_id_and_title_at_the_top_level(alice: Person) -> None:
    thread = unique("boiler")
    line = 'oo post /chat-svc/thread --id="$THREAD" --title="Boiler" --topicIds=heating'
    made = alice.sh(line, THREAD=thread).json["thread"]
    assert (made["id"], made["title"], made["topicIds"]) == (thread, "Boiler", ["heating"])
    again = alice.sh('oo post /chat-svc/thread --id="$THREAD" --title="Boiler, mended"', THREAD=thread).json["thread"]
    assert (again["title"], again["createdAt"]) == ("Boiler, mended", made["createdAt"])


def test_answers_are_streamed_as_they_come(alice: Person) -> None:
    """The reader comes before the thread exists; two prompts follow each other on one stream."""
    thread = unique("stream")
    with alice.listening(thread) as listener:
        assert any(line.startswith("http/1.1 200") for line in listener.head)
        assert any(line.startswith("content-type: text/event-stream") for line in listener.head)
        assert "cache-control: no-cache" in " ".join(listener.head)
        line = 'oo post /prompt-svc/prompt --threadId="$THREAD" --prompt="Tell me about tides." --sync=true'
        first = alice.sh(line, THREAD=thread).json["responseMessage"]
        second = alice.sh(line, THREAD=thread).json["responseMessage"]
        events = listener.events(until=2)
    ends = [number for number, event in enumerate(events) if event["type"] == "done"]
    assert [events[number]["messageId"] for number in ends] == [first["id"], second["id"]]
    assert text_of(events[: ends[0] + 1]) == first["text"]
    assert text_of(events[ends[0] + 1 :]) == second["text"]
    assert all(event.keys() <= {"text", "type", "messageId"} for event in events)


def test_a_late_reader_gets_the_running_answer_from_its_start(script_alice: Person) -> None:
    thread, gate = unique("late"), script_alice.home / unique("gate")
    script = f'[{{"say": "First half, "}}, {{"wait_file": "{gate}"}}, {{"say": "second half."}}]'
    script_alice.call("POST", "/prompt-svc/prompt", {"prompt": script, "threadId": thread})
    with script_alice.listening(thread) as early:
        first = early.next_event()
        with script_alice.listening(thread) as late:
            gate.touch()
            assert text_of(late.events()) == "First half, second half."
        assert text_of([first, *early.events()]) == "First half, second half."


def test_oo_prints_the_stream_too(script_alice: Person) -> None:
    """It goes on until the server or somebody else ends it."""
    thread, gate = unique("oo-stream"), script_alice.home / unique("gate")
    script = f'[{{"say": "drop "}}, {{"wait_file": "{gate}"}}, {{"say": "by drop"}}]'
    script_alice.call("POST", "/prompt-svc/prompt", {"prompt": script, "threadId": thread})
    line = """
        oo get "/prompt-svc/prompts/$THREAD/responses/subscribe" > stream.txt & reader=$!
        until grep -q 'drop ' stream.txt; do sleep 0.05; done
        touch "$GATE"
        until grep -q '"done"' stream.txt; do sleep 0.05; done
        kill $reader
        cat stream.txt
    """
    said = script_alice.sh(line, THREAD=thread, GATE=str(gate))
    frames = [frame for frame in said.out.split("\n\n") if frame.startswith("data: ")]
    assert [json.loads(frame.removeprefix("data: ")).get("text", "") for frame in frames] == ["drop ", "by drop", ""]


def test_a_thread_of_somebody_else_stays_closed(script_alice: Person, script_bob: Person) -> None:
    thread = script_alice.sh('oo post /chat-svc/thread --threadData.title="Private"').json["thread"]["id"]
    script_alice.sh('oo post /prompt-svc/prompt --threadId="$T" --prompt="My secret" --sync=true', T=thread)
    refused = script_bob.sh('oo post /prompt-svc/prompt --threadId="$T" --prompt="Tell me"', T=thread, code=1)
    assert "failed with status 401" in refused.err
    assert "Unauthorized" in refused.err
    refused = script_bob.sh('oo post /chat-svc/messages --threadId="$T"', T=thread, code=1)
    assert "failed with status 401" in refused.err
    everything = script_bob.sh("oo post /chat-svc/messages").json["messages"]
    assert thread not in [message["threadId"] for message in everything]
    assert thread not in [each["id"] for each in script_bob.sh("oo post /chat-svc/threads").json["threads"]]
    stream = '"$URL/prompt-svc/prompts/$T/responses/subscribe" -H "Authorization: Bearer $TOKEN"'
    assert script_bob.sh(f"curl -sS -o /dev/null -w '%{{http_code}}' {stream}", T=thread).out == "401"
    listed = script_bob.sh(
        'oo post /prompt-svc/prompts --query.filters=\'[{"field":"threadId","operator":"equals","value":"\'$T\'"}]\'',
        T=thread,
    )
    assert [prompt["prompt"] for prompt in listed.json["prompts"]] == [""]


def test_deleting_a_thread_takes_its_messages_along(script_alice: Person) -> None:
    thread = script_alice.sh('oo post /chat-svc/thread --threadData.title="Short-lived"').json["thread"]["id"]
    script_alice.sh('oo post /prompt-svc/prompt --threadId="$T" --prompt="Hello" --sync=true', T=thread)
    assert script_alice.sh('oo delete "/chat-svc/thread/$T"', T=thread).json == {}
    assert script_alice.sh('oo post /chat-svc/messages --threadId="$T"', T=thread).json == {"messages": []}
