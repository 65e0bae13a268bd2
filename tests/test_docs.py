"""The docs keep their word: generated parts are fresh, examples run, links lead somewhere, pins are complete."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import EntryPoint, packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cogapp import Cog

from promptd import registry
from promptd.app.routes import make_routes
from promptd.settings import load

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED = {
    "run": PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"],
    "dev": PROJECT["project"]["optional-dependencies"]["dev"],
    "any-llm": PROJECT["project"]["optional-dependencies"]["any-llm"],
}


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def distribution(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


@pytest.mark.parametrize("name", ["architecture", "configuration", "errors"])
def test_generated_parts_are_fresh(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stale = Cog().main(["cog", "-I", "docs", "--check", f"docs/{name}.md"])
    assert stale == 0, "run `make docs`"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|sh|txt|yaml))`", path.read_text(encoding="utf-8")):
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "src/promptd", ROOT / "bench")), name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z0-9]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^{target}:.* ## \w", makefile, re.MULTILINE), target


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_example_configurations_load(document: str, tmp_path: Path) -> None:
    found = blocks(document, "yaml")
    assert found
    for block in found:
        (tmp_path / "promptd.yaml").write_text(block)
        settings = load(tmp_path, None, {"CLOUD_API_KEY": "k"})
        assert set(settings.models) == {"demo", "large"}
        assert settings.connections["cloud"].config["api_key"] == "k"
        registry.check_connections(settings, registry.load())


def test_example_configurations_of_the_gateway_load(tmp_path: Path) -> None:
    """Each block on its own; one without connections goes on from the one before."""
    text = ""
    secrets = {f"{name}_KEY": "k" for name in ("ANTHROPIC", "OPENAI", "AZURE", "GROQ", "BEDROCK", "EAST", "WEST")}
    for block in blocks("docs/gateway.md", "yaml"):
        text = block if "connections:\n" in block[:20] else text + block.removeprefix("models:\n")
        (tmp_path / "promptd.yaml").write_text(text)
        settings = load(tmp_path, None, secrets)
        registry.check_connections(settings, registry.load())
        assert make_routes(settings).keys() == settings.models.keys()
    assert text


@pytest.mark.parametrize("document", ["README.md", "docs/gateway.md"])
def test_python_in_the_docs_compiles(document: str) -> None:
    found = blocks(document, "python")
    assert found
    for block in found:
        compile(block, document, "exec")


def test_the_container_sets_settings_that_exist(tmp_path: Path) -> None:
    text = (ROOT / "packaging/Containerfile").read_text()
    variables = dict(re.findall(r"(PROMPTD_\w+)=(\S+)", text))
    assert load(tmp_path, None, variables).server.host == "0.0.0.0"


def test_the_architecture_draws_the_floor_rule_that_is_checked() -> None:
    layers: list[str] = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    text = " ".join((ROOT / "docs/architecture.md").read_text(encoding="utf-8").split())
    assert " > ".join(layers) in text


@pytest.mark.parametrize("name", ["run", "dev", "any-llm"])
def test_pins_are_complete_and_name_no_registry(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", text)
    entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", text, flags=re.IGNORECASE) if "==" in entry]
    pinned = {distribution(entry) for entry in entries}
    declared = {distribution(item) for item in DECLARED["run"] + (DECLARED[name] if name != "run" else [])}
    assert declared <= pinned
    for entry in entries:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_development_uses_the_versions_of_the_product() -> None:
    versions = [
        dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
        for name in ("run", "dev", "any-llm")
    ]
    assert versions[0].items() <= versions[1].items()
    assert versions[0].items() <= versions[2].items()


def test_local_models_are_pinned_for_their_platforms_only() -> None:
    declared = next(item for item in DECLARED["run"] if item.startswith("xllamacpp"))
    for name in ("run", "dev"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        line = next(line for line in text.splitlines() if line.startswith("xllamacpp"))
        assert line.split(";")[1].strip(" \\").replace('"', "'") == declared.split(";")[1].strip()


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "docs/dependencies.md").read_text()
    named = {distribution(name) for name in re.findall(r"`([\w.-]+)`", text)}
    assert {distribution(item) for items in DECLARED.values() for item in items} - {"setuptools"} <= named


def test_declared_dependencies_are_the_imported_ones() -> None:
    providers = packages_distributions()
    imported: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        if path.is_relative_to(ROOT / "src/promptd/testing"):
            continue  # exams need the development set
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    declared = {distribution(item) for item in PROJECT["project"]["dependencies"]}
    extras = PROJECT["project"]["optional-dependencies"]
    optional = {distribution(item) for name, items in extras.items() if name != "dev" for item in items}
    used: set[str] = set()
    for module in imported:
        found = {distribution(name) for name in providers.get(module, ())}
        used |= found & (declared | optional) or found  # a namespace is shared by packages that nobody asked for
    assert used - optional - {"promptd", "pydantic-core"} == declared


def run_example() -> type[Any]:
    """CONTRIBUTING's engine as the module that it says it is, and its test class."""
    engine, test = blocks("CONTRIBUTING.md", "python")
    module = ModuleType("promptd_shout")
    sys.modules[module.__name__] = module
    exec(engine, module.__dict__)
    names: dict[str, Any] = {"__name__": __name__}
    exec(test, names)
    kind: type[Any] = names["TestShout"]
    return kind


TestEngineOfContributing = run_example()


def test_the_example_engine_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (toml,) = blocks("CONTRIBUTING.md", "toml")
    (group, entries), *_ = tomllib.loads(toml)["project"]["entry-points"].items()
    found = registry.load(EntryPoint(name, value, group) for name, value in entries.items())
    assert found.problems == ()
    (tmp_path / "promptd.yaml").write_text(blocks("CONTRIBUTING.md", "yaml")[0])
    configs = registry.check_connections(load(tmp_path, None, {}), found)
    assert configs["hall"].model_dump() == {"mark": "!!", "pause_seconds": 0.0}
