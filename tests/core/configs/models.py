"""Config models for the tests, and hypothesis strategies for models that nobody wrote."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Annotated, Any, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, create_model

from promptd.core.configs import ConfigFile, setting

THEN = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)


class Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(Plain):
    user: str = setting("", required=True)
    password: SecretStr = setting("")
    tries: int = setting(3, ge=1, le=9)


class Basic(Plain):
    kind: Literal["basic"] = "basic"
    user: str = ""
    password: SecretStr = SecretStr("")


class Bearer(Plain):
    kind: Literal["bearer"] = "bearer"
    token: SecretStr = SecretStr("")


class Server(Plain):
    url: str = ""
    key: SecretStr = SecretStr("")
    weight: int = 1


class Settings(Plain):
    url: str = setting("", required=True)
    api_key: SecretStr = setting("")
    auth: Auth = Auth()
    login: Annotated[Basic | Bearer, Field(discriminator="kind")] = Basic()
    servers: list[Server] = []
    headers: dict[str, SecretStr] = {}
    names: frozenset[str] = frozenset()
    number: int | str = 1
    since: date | None = None
    certificate: ConfigFile | None = None
    documents: list[ConfigFile] = []


def file(name: str, content: bytes = b"", moment: datetime = THEN) -> ConfigFile:
    return ConfigFile(name, "text/plain", moment, lambda: BytesIO(content), len(content))


def full() -> Settings:
    return Settings(
        url="http://one",
        api_key=SecretStr('key "1"'),
        auth=Auth(user="ä", password=SecretStr("pass"), tries=5),
        login=Bearer(token=SecretStr("token")),
        servers=[Server(url="a", key=SecretStr("ka")), Server(url="b", key=SecretStr("kb"), weight=2)],
        headers={"X-Key": SecretStr("hx"), "plain": SecretStr("")},
        names=frozenset({"c", "a", "b"}),
        number="two",
        since=date(2026, 1, 2),
        certificate=file("c.pem", b"pem"),
        documents=[file("1.txt", b"one"), file("2.txt", b"two")],
    )


#: kinds of settings: type, default, good values, and a JSON value that the type never takes
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_LEAVES: list[tuple[Any, Any, st.SearchStrategy[Any], Any]] = [
    (int, 1, st.integers(), "no number"),
    (int | None, None, st.none() | st.integers(), {"no": "number"}),
    (float, 0.5, st.floats(allow_nan=False, allow_infinity=False), []),
    (bool, False, st.booleans(), "neither"),
    (str, "", _TEXTS, 7),
    (SecretStr, SecretStr(""), _TEXTS.map(SecretStr), ["hush"]),
    (Literal["a", "b"], "a", st.sampled_from(["a", "b"]), "c"),
    (datetime, THEN, st.datetimes(timezones=st.just(UTC)), "not a day"),
    (dict[str, int], {}, st.dictionaries(_TEXTS, st.integers(), max_size=3), "no map"),
    (list[str], [], st.lists(_TEXTS, max_size=3), "no list"),
    (ConfigFile | None, None, st.none() | st.builds(file, _TEXTS, moment=st.datetimes(timezones=st.just(UTC))), "x"),
]
_NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=4).map(lambda name: f"f_{name}")


@st.composite
def configs(draw: st.DrawFn, depth: int = 2) -> tuple[BaseModel, list[tuple[tuple[str | int, ...], Any]]]:
    """A configuration of a new model, and its leaves: where they are and a value that does not fit there."""
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    leaves: list[tuple[tuple[str | int, ...], Any]] = []
    for name in draw(st.lists(_NAMES, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["leaf", "model", "optional", "list"] if depth else ["leaf"]))
        if kind == "leaf":
            annotation, default, good, bad = draw(st.sampled_from(_LEAVES))
            fields[name] = (annotation, default)
            values[name] = draw(good)
            leaves.append(((name,), bad))
            continue
        inner, below = draw(configs(depth - 1))
        inner_type = type(inner)
        if kind == "list":
            items = [inner] * draw(st.integers(0, 2))
            fields[name], values[name] = (list[inner_type], []), items  # type: ignore[valid-type]
            leaves += [((name, index, *path), bad) for index in range(len(items)) for path, bad in below]
        else:
            fields[name] = (inner_type, inner_type()) if kind == "model" else (inner_type | None, None)
            values[name] = inner
            leaves += [((name, *path), bad) for path, bad in below]
    make: Callable[..., type[BaseModel]] = create_model
    model = make("Drawn", __config__=ConfigDict(extra="forbid", frozen=True), **fields)
    return model(**values), leaves
