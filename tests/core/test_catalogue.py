"""The catalogue's file against the facts that clients know."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import pytest

from promptd.core import catalogue
from promptd.core.catalogue import Catalogue
from promptd.core.errors import InvalidRequest

RAW = files("promptd").joinpath("models", "catalogue.json").read_bytes()
HUB = "https://hub.example"
#: id without quality → repository, template, quality → (GB of the file, GB of memory), written down apart from the file
FAMILIES: dict[str, tuple[str, str, str]] = {
    "TheBloke/mistral-7b-instruct-v0.2": (
        "TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
        "[INST] {prompt} [/INST]",
        "Q2_K 3.08/5.58, Q3_K_S 3.16/5.66, Q3_K_M 3.52/6.02, Q3_K_L 3.82/6.32, Q4_K_S 4.14/6.64, Q4_K_M 4.37/6.87, "
        "Q5_K_S 5/7.5, Q5_K_M 5.13/7.63, Q6_K 5.94/8.44, Q8_0 7.7/10.2",
    ),
    "TheBloke/codellama-7b": (
        "TheBloke/CodeLlama-7B-GGUF",
        "{prompt}",
        "Q2_K 2.83/5.33, Q3_K_S 2.95/5.45, Q3_K_M 3.3/5.8, Q3_K_L 3.6/6.1, Q4_K_S 3.86/6.36, Q4_K_M 4.08/6.58, "
        "Q5_K_M 4.78/7.28, Q6_K 5.53/8.03, Q8_0 7.16/9.66",
    ),
    "TheBloke/codellama-13b": (
        "TheBloke/CodeLlama-13B-GGUF",
        "{prompt}",
        "Q2_K 5.43/7.93, Q3_K_S 5.66/8.16, Q3_K_M 6.34/8.84, Q3_K_L 6.93/9.43, Q4_K_S 7.41/9.91, Q4_K_M 7.87/10.37, "
        "Q5_K_S 8.97/11.47, Q5_K_M 9.23/11.73, Q6_K 10.68/13.18",
    ),
    "TheBloke/llama2_7b_chat_uncensored": (
        "TheBloke/llama2_7b_chat_uncensored-GGUF",
        "### HUMAN:\n{prompt}\n  \n### RESPONSE:\n",
        "Q2_K 2.83/5.33, Q3_K_S 2.95/5.45, Q3_K_M 3.3/5.8, Q4_K_M 4.08/6.58, Q8_0 7.16/9.66",
    ),
    "QuantFactory/Meta-Llama-3-8B-Instruct": (
        "QuantFactory/Meta-Llama-3-8B-Instruct-GGUF",
        "{prompt}",
        "Q3_K_M 4.02/5.33",
    ),
    "QuantFactory/Meta-Llama-3-70B-Instruct": (
        "QuantFactory/Meta-Llama-3-70B-Instruct-GGUF",
        "{prompt}",
        "Q2_K 26.4/28.2, Q4_K_M 42.5/46.7",
    ),
    "TheBloke/mixtral-8x7b-instruct-v0.1": (
        "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF",
        "[INST] {prompt} [/INST]",
        "Q2_K 15.64/18.14, Q3_K_M 20.36/22.86, Q4_0 26.44/28.94, Q4_K_M 26.44/28.94, Q5_0 32.23/34.73, "
        "Q5_K_M 32.23/34.73, Q6_K 38.38/40.88, Q8_0 49.62/52.12",
    ),
    "TheBloke/tinyllama-1.1b-chat-v1.0": (
        "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF",
        "<|system|>\n{system_message}</s>\n<|user|>\n{prompt}</s>\n<|assistant|>",
        "Q4_K_S 0.5/3.0",
    ),
    "TheBloke/deepseek-llm-67b-chat": (
        "TheBloke/deepseek-llm-67b-chat-GGUF",
        "User: {prompt}\n\nAssistant:",
        "Q4_K_M 47.65/50.15",
    ),
}
WITH_QUERY = ("mixtral-", "tinyllama-", "deepseek-")


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return catalogue.read(RAW, HUB)


def test_there_are_48_models(known: Catalogue) -> None:
    expected = {"dummy", "nicklucche/stable-diffusion"}
    for stem, (_, _, qualities) in FAMILIES.items():
        expected |= {f"huggingface/{stem}.{quality.split(' ')[0]}.gguf" for quality in qualities.split(", ")}
    assert set(known.models) == expected
    assert len(known.models) == 48


@pytest.mark.parametrize("stem", FAMILIES)
def test_each_quality_has_its_file_size_and_template(known: Catalogue, stem: str) -> None:
    repository, template, qualities = FAMILIES[stem]
    for text in qualities.split(", "):
        quality, _, numbers = text.partition(" ")
        size, memory = map(float, numbers.split("/"))
        model = known.models[f"huggingface/{stem}.{quality}.gguf"]
        assert (model.size, model.memory, model.template) == (size, memory, template)
        assert (model.engine, model.extension) == ("llamacpp", "GGUF")
        # the file that the id names, also for those that the original lists twice
        query = "?download=true" if stem.rpartition("/")[2].startswith(WITH_QUERY) else ""
        assert model.url == f"{HUB}/{repository}/resolve/main/{model.id.rpartition('/')[2]}{query}"
        assert model.quality == ("Q3_K_S" if stem.endswith("chat-v1.0") else quality)
        assert model.uncensored == ("uncensored" in stem)


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("TheBloke/mistral-7b-instruct-v0.2.Q3_K_S.gguf", ("Mistral", "7B", "Instruct", "v0.2")),
        ("TheBloke/codellama-13b.Q6_K.gguf", ("CodeLlama", "13B", "Code", "1")),
        ("TheBloke/llama2_7b_chat_uncensored.Q4_K_M.gguf", ("LLaMA2", "7B", "Chat", "2")),
        ("QuantFactory/Meta-Llama-3-70B-Instruct.Q2_K.gguf", ("Llama 3", "70B", "Instruct", "3")),
        ("TheBloke/mixtral-8x7b-instruct-v0.1.Q4_0.gguf", ("Mixtral", "8x7B", "Instruct", "0.1")),
        ("TheBloke/tinyllama-1.1b-chat-v1.0.Q4_K_S.gguf", ("TinyLlama", "1.1", "Chat", "1.0")),
        ("TheBloke/deepseek-llm-67b-chat.Q4_K_M.gguf", ("DeepSeek", "67B", "Chat", "")),
    ],
)
def test_names(known: Catalogue, identifier: str, said: tuple[str, ...]) -> None:
    model = known.models[f"huggingface/{identifier}"]
    assert (model.name, model.parameters, model.flavour, model.version) == said


def test_the_two_odd_ones(known: Catalogue) -> None:
    dummy, image = known.models["dummy"], known.models["nicklucche/stable-diffusion"]
    assert (dummy.name, dummy.engine) == ("Dummy Model", "llamacpp")
    assert dummy.url.startswith(f"{HUB}/")
    assert dummy.url.endswith("/README.md")
    assert (image.engine, image.template, image.url) == ("stable_diffusion", "{prompt}", "")


def test_platforms(known: Catalogue) -> None:
    llama, image = known.platforms
    assert (llama["id"], llama["name"], llama["types"]) == ("llama-cpp", "Llama CPP", ["Text-to-Text"])
    default, cuda = llama["architectures"]["default"], llama["architectures"]["cuda"]
    assert default["container"] == {
        "port": 8000,
        "imageTemplate": "crufter/llama-cpp-python:default-1-latest",
        "envars": None,
    }
    assert cuda["container"]["imageTemplate"] == "crufter/llama-cpp-python:cuda-$cudaVersion-latest"
    assert cuda["container"]["envars"] == [{"key": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]
    assert (cuda["defaultCudaVersion"], cuda["cudaVersionPrecision"]) == ("12.8.0", 3)
    assert (image["id"], image["name"]) == ("stable-diffusion", "Stable Diffusion")
    assert image["types"] == ["Text-to-Image", "Image-to-Image"]
    options = {
        "key": "CLI_ARGS",
        "value": "--no-half --precision full --allow-code --enable-insecure-extension-access --api",
    }
    for name, tag in (("default", "default-1"), ("cuda", "cuda-$cudaVersion")):
        container = image["architectures"][name]["container"]
        assert container == {
            "port": 7860,
            "imageTemplate": f"crufter/stable-diffusion:{tag}-latest",
            "envars": [options],
        }
    cuda = image["architectures"]["cuda"]
    assert (cuda["defaultCudaVersion"], cuda["defaultCudnnVersion"]) == ("12.1", "9")


def test_the_hub_is_the_base_of_every_url() -> None:
    mirrored = catalogue.read(RAW, "http://127.0.0.1:9/mirror/")
    assert all(model.url.startswith("http://127.0.0.1:9/mirror/") for model in mirrored.models.values() if model.url)


def test_a_hub_that_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        catalogue.read(RAW, "hub")


def test_an_id_stands_once() -> None:
    file: dict[str, Any] = msgspec.json.decode(RAW)
    file["models"].append({"id": "dummy", "name": "Another"})
    with pytest.raises(ValueError, match="twice"):
        catalogue.read(msgspec.json.encode(file), HUB)
