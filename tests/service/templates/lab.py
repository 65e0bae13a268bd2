"""A house with engines for templates: one that learns from its error, and one with queries of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from pydantic import SecretStr

from promptd import registry
from promptd.app import House, build
from promptd.core.configs import setting
from promptd.core.descriptors import Param
from promptd.core.engine import Call, Config, DescribeParams, Engine, Result, placeholders
from promptd.core.errors import ContentFiltered
from promptd.core.identity import ALL_PERMISSIONS
from promptd.core.model import Caller, Request, Usage
from promptd.core.prompt_files import PromptFile
from promptd.settings import Settings


class PupilConfig(Config):
    lessons: int = 1
    answers: tuple[str, ...] = ("a is one", '{"a": 1}')


class Pupil(Engine[PupilConfig]):
    """Answers with the first of its answers, and with the next one for each error that it is shown."""

    type_id = "pupil"

    def __init__(self) -> None:
        self.asked: list[Call[PupilConfig]] = []

    async def execute(self, call: Call[PupilConfig]) -> Result:
        self.asked.append(call)
        shown = sum(turn.role == "assistant" for turn in call.messages)
        answers = call.connection.answers
        return Result(text=answers[min(shown, len(answers) - 1)], usage=Usage(input_tokens=3, output_tokens=2))


class PostConfig(Config):
    secret: SecretStr = setting(SecretStr("s3cret"), required=True)


class LetterConfig(Config):
    wording: str = "Dear {{name}}, {{text}}"
    copies: int = 1
    loud: bool = False
    pin: SecretStr = SecretStr("")


class Post(Engine[PostConfig, LetterConfig]):
    """Letters: inputs are the placeholders of the wording and an enclosure, outputs the letter and a file."""

    type_id = "post"

    def __init__(self) -> None:
        self.calls: list[Call[PostConfig, LetterConfig]] = []

    def compute_query_input(self, params: DescribeParams[PostConfig, LetterConfig]) -> Sequence[Param]:
        names = placeholders(params.query.wording)
        return [*(Param(name=name) for name in names), Param(name="enclosure", kind="file", required=False)]

    def compute_query_output(self, params: DescribeParams[PostConfig, LetterConfig]) -> Sequence[Param]:
        return [
            Param(name="letter"),
            Param(name="pages", kind="integer"),
            Param(name="copy", kind="file", required=False),
        ]

    def execute(self, call: Call[PostConfig, LetterConfig]) -> Result:  # type: ignore[override] # a plain function
        self.calls.append(call)
        if call.value.get("text") == "forbidden":
            raise ContentFiltered("not that", stage="input")
        letter = call.text(call.query.wording)
        enclosed = call.files.get("enclosure", ())
        copy = [PromptFile.from_bytes("copy.txt", enclosed[0].read(), "text/plain")] if enclosed else []
        pages: Any = "many" if call.value.get("text") == "nonsense" else call.query.copies
        return Result(
            value={"letter": letter.upper() if call.query.loud else letter, "pages": pages, "extra": 1},
            files={"copy": copy} if copy else {},
        )


class Writer(Engine[PostConfig, LetterConfig]):
    """A query that is asked of a language model: this very engine, which repeats its last message."""

    type_id = "writer"

    def compute_query_input(self, params: DescribeParams[PostConfig, LetterConfig]) -> Sequence[Param]:
        return [Param(name=name) for name in placeholders(params.query.wording)]

    def compute_query_output(self, params: DescribeParams[PostConfig, LetterConfig]) -> Sequence[Param]:
        return [Param(name="letter")]

    def compose(self, call: Call[PostConfig, LetterConfig]) -> Request:
        from promptd.core.content import Turn

        return Request(messages=(Turn("user", call.text(call.query.wording)),))

    def query_model(self, query: LetterConfig) -> str:
        return "quill"

    async def execute(self, call: Call[PostConfig, LetterConfig]) -> Result:
        return Result(text=call.messages[-1].content)


class Lab:
    """The house, its engines, and callers with keys."""

    def __init__(self, house: House, pupil: Pupil, post: Post, ann: Caller) -> None:
        self.house, self.pupil, self.post, self.ann = house, pupil, post, ann
        self.templates, self.functions, self.walk = house.walk.templates, house.walk.functions, house.walk


@asynccontextmanager
async def open_lab(home: Path, **settings: Any) -> AsyncIterator[Lab]:
    pupil, post = Pupil(), Post()
    loaded = registry.load()
    plugins = replace(loaded, engines={**loaded.engines, "pupil": pupil, "post": post, "writer": Writer()})
    given = {
        "home": home,
        "connections": {
            "lab": {"engine": "scripted", "slots": 2},
            "school": {"engine": "pupil", "slots": 1},
            "office": {"engine": "post"},
            "desk": {"engine": "writer"},
        },
        "models": {"demo": {"connection": "lab"}, "pupil": {"connection": "school"}},
        "default_model": "demo",
    }
    async with build(Settings.model_validate(given | settings), plugins) as house:
        _, secret = await house.walk.keys.store(name="ann", user="ann", permissions=ALL_PERMISSIONS)
        ann = await house.walk.callers.authenticate(secret)
        yield Lab(house, pupil, post, ann)
