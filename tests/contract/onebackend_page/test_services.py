"""Command lines for the services around the prompts: policies, permits, models, files."""

from __future__ import annotations

import pytest

from tests.contract.stage import Person, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def test_a_rate_limit_is_enforced_where_it_says(script_admin: Person, script_bob: Person) -> None:
    line = """
        oo put "/policy-svc/instance/$NAME" --instance.endpoint=/user-svc/permissions --instance.templateId=rate-limit \\
            --instance.parameters.rateLimit.maxRequests=2 --instance.parameters.rateLimit.timeWindow="1h30m" \\
            --instance.parameters.rateLimit.entity=userId --instance.parameters.rateLimit.scope=endpoint
    """
    assert script_admin.sh(line, NAME=unique("limit")).json == {}
    for _ in range(2):
        assert "permissions" in script_bob.sh("oo post /user-svc/permissions").json
    assert "failed with status 429" in script_bob.sh("oo post /user-svc/permissions", code=1).err
    head = script_bob.sh(
        'curl -sS -i -X POST "$URL/user-svc/permissions" -H "Authorization: Bearer $TOKEN"'
    ).out.lower()
    assert "429" in head.splitlines()[0]
    assert "retry-after: " in head
    assert "permissions" in script_admin.sh("oo post /user-svc/permissions").json


def test_a_blocklist_comes_as_json_in_a_string(script_admin: Person) -> None:
    line = """
        oo put "/policy-svc/instance/$NAME" --instance.endpoint="/chat-svc/events" --instance.templateId=blocklist \\
            --instance.parameters.blocklist.blockedIPs='["127.0.0.1", "10.9.8.7"]'
        curl -sS -o /dev/null -w '%{http_code}' "$URL/chat-svc/events"
        oo post /policy-svc/check --endpoint=/chat-svc/events --method=GET --ip=10.9.8.7 --userId=u
        oo post /policy-svc/check --endpoint=/chat-svc/threads --method=POST --ip=10.9.8.7 --userId=u
    """
    said = script_admin.sh(line, NAME=unique("block")).out.split()
    assert said == ["{}", "403{", '"allowed":', "false", "}", "{", '"allowed":', "true", "}"]


def test_whoami_checks_the_token_and_permits_are_listed(admin: Person) -> None:
    said = admin.sh("oo whoami -l && oo permit list --permission prompt-svc:prompt:create").out
    assert "slug: 1backend" in said
    assert "user-svc:admin" in said
    assert "user-svc:user" in said.partition("PERMISSION")[2]


def test_permits_are_saved_from_standard_input(admin: Person) -> None:
    name = unique("made-svc") + ":thing:edit"
    line = 'printf "%s\\n" "{permits: [{permission: \\"$NAME\\", slugs: [alice]}]}" | oo permit save - && oo permit list --permission "$NAME"'
    assert name in admin.sh(line, NAME=name).out


def test_models_are_listed_started_and_made_the_default(admin: Person, kind: str) -> None:
    model = {"builtin": "demo", "scripted": "script"}[kind]
    listed = [each["id"] for each in admin.sh("oo post /model-svc/models").json["models"]]
    assert len(listed) == len(set(listed))
    assert {model, "dummy", "nicklucche/stable-diffusion"} <= set(listed)
    line = """
        set -euo pipefail
        oo put "/model-svc/model/$MODEL/start" > /dev/null
        oo put "/model-svc/model/$MODEL/make-default" > /dev/null
        oo get "/model-svc/model/$MODEL"
    """
    said = admin.sh(line, MODEL=model).json
    assert (said["exists"], said["model"]["id"]) == (True, model)
    escaped = "huggingface%2FTheBloke%2Fcodellama-7b.Q4_K_M.gguf"
    assert admin.sh(f"oo get /model-svc/model/{escaped}").json["model"]["promptTemplate"] == "{prompt}"
    status = admin.sh(f"oo get /model-svc/model/{escaped}/status").json["status"]
    assert (status["assetsReady"], status["running"]) == (False, False)
    assert "Model Not Found" in admin.sh("oo get /model-svc/model/none", code=1).err


def test_a_model_whose_file_is_not_there_cannot_be_the_default(admin: Person) -> None:
    said = admin.sh('oo put "/model-svc/model/dummy/make-default"', code=1)
    assert "failed with status 500" in said.err
    assert "/model-svc" not in said.err  # `put` does not name its path


def test_uploads_are_listed_and_deleted(alice: Person) -> None:
    line = """
        set -euo pipefail
        echo "a b c" > "a list.txt"
        curl -sSf -X PUT "$URL/file-svc/upload" -H "Authorization: Bearer $TOKEN" -F "file=@a list.txt"
    """
    file = alice.sh(line).json["upload"]["fileId"]
    assert file in [each["fileId"] for each in alice.sh("oo post /file-svc/uploads").json["uploads"]]
    head = alice.sh('curl -sSf -i -r 2-4 "$URL/file-svc/serve/upload/$FILE"', FILE=file).out
    assert head.startswith("HTTP/1.1 206")
    assert 'filename="a list.txt"' in head
    assert head.endswith("b c")
    assert alice.sh('oo delete "/file-svc/upload/$FILE"', FILE=file).json == {}
    status = "curl -sS -o /dev/null -w '%{http_code}' \"$URL/file-svc/serve/upload/$FILE\""
    assert alice.sh(status, FILE=file).out == "404"
