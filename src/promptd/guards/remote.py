"""The guard `remote`: a service elsewhere is asked over HTTP, in one of four spellings.

`promptd` sends the messages as they are. `guard` and `guardrails` are spoken by Arch's model server, `moderations` by OpenAI and
by whoever imitates it. Everything that is not a verdict raises: who asks refuses the text then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from pydantic import Field, SecretStr, field_validator

from promptd.core.configs.remote import in_header
from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import InvalidOutput, PromptdError, ServiceUnavailable, SettingsError, Timeout
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.core.ports import Timeouts
from promptd.dialects.headers import FRAMING, check_header_names
from promptd.guards.texts import texts_of, texts_of_turn, windows

_ALLOWED: Final = Verdict(True)
_TOO_LONG: Final = Verdict(False, "remote: too long to be judged", 1.0, {"length": 1.0})
_MOST_BYTES: Final = 256 * 1024  # of an answer
_MOST_CATEGORIES: Final = 16
_OVERLAP: Final = 400
_SECONDS: Final = 10.0
_YES: Final = frozenset(
    {"jailbreak", "unsafe", "flagged", "block", "blocked", "deny", "denied", "refused", "true", "1", "yes"}
)
_NO: Final = frozenset({"safe", "benign", "ok", "allow", "allowed", "pass", "none", "false", "0", "no"})


class RemoteConfig(Config):
    """Who is asked, and how."""

    url: str = Field("", description="Address that is asked with POST.")
    dialect: Literal["promptd", "guard", "guardrails", "moderations"] = Field(
        "promptd", description="Spelling: ours, that of Arch's /guard or /guardrails, or OpenAI's /v1/moderations."
    )
    key: SecretStr | None = Field(None, description="Sent as bearer token.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="More headers.")
    task: str = Field("jailbreak", description="What is asked for, in the spellings that say it.")
    model: str = Field("", description="Model that judges, in the spelling of moderations; empty: the service's own.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Refuse from this score on, whatever the verdict is. Default: the verdict decides.",
    )
    timeout_seconds: float | None = Field(
        None, gt=0, le=600, description="Seconds that one call may take, from first to last byte. Default: 10."
    )
    window_chars: int = Field(
        50_000, ge=2000, le=1_000_000, description="Characters that are sent at once (not in our own spelling)."
    )
    max_calls: int = Field(16, ge=1, le=256, description="Most calls for one text; a longer one is refused.")

    _may_be_sent = field_validator("key")(in_header)

    @field_validator("headers")
    @classmethod
    def _says_no_framing(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        check_header_names(headers, taken=FRAMING | {"host"})
        return in_header(headers)


class Remote:
    """The guard. Raises `SettingsError` where the address is none; `key` is its path below the guard's settings."""

    config_class: Final = RemoteConfig
    reach: int | None = None  # what the service looks at is not known

    def __init__(self, config: RemoteConfig = RemoteConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        if not config.url.startswith(("http://", "https://")):
            raise SettingsError("url: expected an address that begins with http:// or https://", key="url")
        if tools is None:
            raise SettingsError("url: there is no way out to ask it", key="url")
        if tools.allow is not None:
            try:
                tools.allow(config.url)
            except PromptdError as error:
                said = error.message.removeprefix("url: ")
                raise SettingsError(f"url: {said}", key="url") from None
        self._config, self._http = config, tools.http
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        self._headers |= {name.lower(): value.get_secret_value() for name, value in config.headers.items()}
        if config.key is not None:
            self._headers["authorization"] = f"Bearer {config.key.get_secret_value()}"

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Refuse where the service does. Raises `PromptExecutionError` for anything else than a verdict."""
        bodies = self._bodies(turns)
        if len(bodies) > self._config.max_calls:
            return _TOO_LONG
        score = 0.0
        for body in bodies:
            verdict = self._judged(_READERS[self._config.dialect](await self._ask(body)))
            if not verdict.allowed:
                return verdict
            score = max(score, verdict.score)
        return Verdict(True, "", score) if score else _ALLOWED

    def _bodies(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        config = self._config
        if config.dialect == "promptd":
            messages = [{"role": turn.role, "content": "\n".join(texts_of_turn(turn))} for turn in turns]
            messages = [message for message in messages if message["content"]]
            return [{"messages": messages, "stage": _stage(turns), "task": config.task}] if messages else []
        # a service may look at the first words of a text only, so that each message is asked about for itself
        texts = [piece for text in texts_of(turns) for piece in windows(text, config.window_chars, _OVERLAP)]
        if config.dialect == "moderations":
            named = {"model": config.model} if config.model else {}
            return [{"input": texts, **named}] if texts else []
        return [{"input": text, "task": config.task} for text in texts]

    async def _ask(self, body: Mapping[str, Any]) -> Any:
        config = self._config
        data = msgspec.json.encode(_encodable(body))
        seconds = config.timeout_seconds or _SECONDS
        timeouts = Timeouts(connect=seconds, first_byte=seconds, between_bytes=seconds)
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.request(
                    "POST", config.url, headers=self._headers, body=data, timeouts=timeouts, max_bytes=_MOST_BYTES
                ) as response,
            ):
                if response.status != 200:
                    raise ServiceUnavailable("the remote guard failed", detail=f"status {response.status}")
                answer = await response.read()
        except TimeoutError:
            raise Timeout(f"the remote guard gave no answer within {seconds:g} s") from None
        try:
            return msgspec.json.decode(answer)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise _no_verdict("not JSON") from None

    def _judged(self, told: Verdict) -> Verdict:
        threshold = self._config.threshold
        if told.allowed and (threshold is None or told.score < threshold or not told.score):
            return told
        names = told.categories or {self._config.task or "refused": told.score or 1.0}
        return Verdict(False, f"remote: {', '.join(names)}", told.score or 1.0, names)


# ------------------------------------------------------------------ what the answers mean


def _read_own(answer: Any) -> Verdict:
    """`allowed`, `flagged` or `verdict`; of several that disagree the one counts that refuses."""
    body = _object(answer)
    said: list[bool] = []
    if "allowed" in body:
        said.append(_truth(body["allowed"], "allowed"))
    said += [not _truth(body[name], name) for name in ("flagged", "verdict") if name in body]
    return _verdict(said, body.get("score"), body.get("categories"))


def _read_guard(answer: Any) -> Verdict:
    """Arch's `/guard`: a verdict and a probability each for jailbreaks and toxic text; null where it did not look."""
    body = _object(answer)
    said: list[bool] = []
    found: dict[str, float] = {}
    score = 0.0
    for name in ("jailbreak", "toxic"):
        if (verdict := body.get(f"{name}_verdict")) is None:
            continue
        refused = _truth(verdict, f"{name}_verdict")
        said.append(not refused)
        one = _score(body.get(f"{name}_prob"))
        score = max(score, one)
        if refused:
            found[name] = one or 1.0
    return _verdict(said, score, found)


def _read_guardrails(answer: Any) -> Verdict:
    body = _object(answer)
    said = [not _truth(body["verdict"], "verdict")] if body.get("verdict") is not None else []
    task = body.get("task")
    return _verdict(said, _first(body.get("prob")), [task] if isinstance(task, str) and task else None)


def _read_moderations(answer: Any) -> Verdict:
    """One result for each text; the one that refuses with the highest score tells."""
    results = _object(answer).get("results")
    if not isinstance(results, list) or not results:
        raise _no_verdict("no results")
    verdicts = [_moderation(_object(result)) for result in results]
    return max(verdicts, key=lambda verdict: (not verdict.allowed, verdict.score))


def _moderation(result: Mapping[str, Any]) -> Verdict:
    scores = result.get("category_scores")
    scores = scores if isinstance(scores, dict) else {}
    flagged = result.get("categories")
    names = [name for name, yes in flagged.items() if yes is True] if isinstance(flagged, dict) else []
    found = {name: _score(scores.get(name)) or 1.0 for name in names}
    said = [not _truth(result["flagged"], "flagged")] if "flagged" in result else []
    return _verdict(said, max([_score(value) for value in scores.values()], default=0.0), found)


_READERS: Final = {
    "promptd": _read_own,
    "guard": _read_guard,
    "guardrails": _read_guardrails,
    "moderations": _read_moderations,
}


def _verdict(said: Sequence[bool], score: Any, categories: Any) -> Verdict:
    if not said:
        raise _no_verdict("no verdict")
    value = _score(score)
    if all(said):
        return Verdict(True, "", value)
    if isinstance(categories, dict):
        named = {name: _score(one) for name, one in categories.items() if one is not False}
    else:
        named = dict.fromkeys(categories, value) if isinstance(categories, list) else {}
    kept = [(name, one or value or 1.0) for name, one in named.items() if isinstance(name, str) and name][
        :_MOST_CATEGORIES
    ]
    return Verdict(False, "refused", value or 1.0, {name[:100]: one for name, one in kept})


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _no_verdict("not an object")
    return value


def _truth(value: Any, name: str) -> bool:
    """Also as a word or number, as model servers write it."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _no_verdict(f"{name} is neither yes nor no")


def _score(value: Any) -> float:
    """0 where none is told. Raises `InvalidOutput` for one that is not between 0 and 1."""
    if value is None or isinstance(value, bool):
        return float(value or 0)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _no_verdict("a score is not between 0 and 1")
    return float(value)


def _first(value: Any) -> Any:
    """Some servers write a list of one."""
    return value[0] if isinstance(value, list) and value else value


def _no_verdict(reason: str) -> InvalidOutput:
    return InvalidOutput("the remote guard gave no verdict", detail=reason)


def _stage(turns: Sequence[Turn]) -> str:
    """Whose text it is, as far as the turns tell."""
    roles = {turn.role for turn in turns}
    return "output" if roles == {"assistant"} else "tool" if roles == {"tool"} else "input"


def _encodable(value: Any) -> Any:
    """With a question mark for what UTF-8 can't say."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _encodable(inner) for name, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list) else value
