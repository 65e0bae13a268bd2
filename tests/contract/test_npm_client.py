"""The published npm client, as its users run it: under node, with `apiKey: "Bearer …"`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.contract.npm import install
from tests.contract.stage import ADMIN, ADMIN_PASSWORD, HOST, Stage, environment, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PACKAGE = "@1backend/client@0.9.18"
EXPECTED = {
    # older clients need it, this one forgot it
    "uploadFile.upload.nodeId",
    "listUploads.uploads[].nodeId",
    # what the original's page about types promises; no client reads the answer
    "promptTypes.types",
    "promptTypes.schemas",
}
RUN_SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which node finds the client."""
    folder = install(tmp_path_factory.mktemp("npm"), PACKAGE)
    shutil.copy(Path(__file__).with_name("npm_client.mjs"), folder)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path, scripted_server: Stage) -> tuple[str, dict[str, Any]]:
    """All calls of the script, made once: the run's name, and what each call gave."""
    name = unique("npm")
    variables = {
        "URL": scripted_server.url,
        "SLUG": ADMIN,
        "PASSWORD": ADMIN_PASSWORD,
        "APP_HOST": HOST,
        "RUN": name,
        "MODEL": "script",
    }
    done = subprocess.run(
        ["node", "npm_client.mjs"],
        cwd=folder,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    dropped = {re.sub(r"\[\d+\]", "[]", member) for entry in seen for member in entry["dropped"]} - EXPECTED
    assert not dropped, f"members that the published client does not know: {dropped}"
    return name, {entry["call"]: entry["value"] for entry in seen}


def test_prompts(run: tuple[str, dict[str, Any]]) -> None:
    name, seen = run
    sync = seen["prompt sync"]
    assert (sync["prompt"]["id"], sync["prompt"]["status"]) == (f"{name}-sync", "completed")
    assert sync["prompt"]["maxRetries"] == 3
    assert sync["responseMessage"]["text"] == "Good morning"
    assert seen["prompt async"]["prompt"]["status"] == "scheduled"
    assert "responseMessage" not in seen["prompt async"]
    assert seen["prompt with a template"]["responseMessage"]["text"] == "x"
    listed = seen["listPrompts"]
    assert [prompt["id"] for prompt in listed["prompts"]] == [f"{name}-sync", f"{name}-async"]
    assert listed["count"] == 2
    assert isinstance(seen["listPrompts()"]["prompts"], list)
    assert seen["removePrompt"] == {}


def test_chat(run: tuple[str, dict[str, Any]]) -> None:
    name, seen = run
    assert seen["saveThread"]["thread"]["title"] == "From npm"
    messages = seen["listMessages"]["messages"]
    assert [message["text"] for message in messages if message["id"] in (f"{name}-sync", f"{name}-message")] == [
        "Good morning",
        "By hand",
    ]
    assert {"colour": "red"} in [message.get("meta") for message in messages]
    assert [thread["id"] for thread in seen["listThreads"]["threads"]] == [f"{name}-thread"]


def test_models(run: tuple[str, dict[str, Any]]) -> None:
    _, seen = run
    assert "script" in [model["id"] for model in seen["listModels"]["models"]]
    assert {"llama-cpp", "stable-diffusion"} <= {platform["id"] for platform in seen["listPlatforms"]["platforms"]}
    assert seen["getModel"]["model"]["id"] == "script"
    known = seen["getModel with slashes"]
    assert known["model"]["promptTemplate"] == "[INST] {prompt} [/INST]"
    assert known["platform"]["id"] == "llama-cpp"
    assert seen["getModelStatus"]["status"]["running"] is True
    assert seen["startDefaultModel"] == seen["startModel"] == seen["makeDefault"] == {}


def test_users(run: tuple[str, dict[str, Any]]) -> None:
    _, seen = run
    assert seen["login"]["token"]["device"] == "npm"
    assert seen["readSelf"]["user"]["slug"] == ADMIN
    assert "user-svc:admin" in seen["readSelf"]["roles"]
    assert seen["hasPermission"]["authorized"] is True
    assert "BEGIN PUBLIC KEY" in seen["getPublicKey"]["publicKey"]
    assert seen["without a token"] == 422


def test_files(run: tuple[str, dict[str, Any]]) -> None:
    _, seen = run
    upload = seen["uploadFile"]["upload"]
    assert (upload["fileName"], upload["fileSize"]) == ("words.txt", 11)
    assert seen["serveUpload"] == "a few words"
    assert upload["fileId"] in [each["fileId"] for each in seen["listUploads"]["uploads"]]
    assert seen["getDownload"]["_exists"] is False
