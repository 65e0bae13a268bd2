"""The section on guards. Each field's description is its line in docs/configuration.md."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from promptd.core.guarding import Action, Stage
from promptd.settings.forms import Name, Seconds, Section, Text

#: The check that the keys of `guard` itself mean.
RULES: Final = "rules"


class PatternSettings(Section):
    """A text that matches is refused."""

    name: Name = Field(description="Unique name, shown as the reason of the refusal.")
    pattern: Text = Field(description="Regular expression in RE2 syntax.")
    category: str = Field("", description="What a text is that matches. Default: the name.")


class WordListSettings(Section):
    """Words of one category."""

    category: Text = Field(description="What a text is that holds one of the words.")
    words: tuple[Text, ...] = Field(min_length=1, description="Words and phrases.")


class CheckSettings(Section):
    """A guard, where it looks, and what happens to what it does not allow. Keys beyond these belong to the guard and are
    checked by it."""

    # extra keys can only be checked against the guard's config class, once the registry is loaded
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    type: Text = Field(description="Type of the guard, such as `rules` or `classifier`.")
    stages: tuple[Stage, ...] = Field(
        (Stage.INPUT, Stage.TOOL),
        min_length=1,
        description="Whose text it looks at: `input`, what callers wrote; `tool`, what tools gave back; `output`, answers.",
    )
    action: Action = Field(
        Action.REFUSE,
        description="`refuse` the prompt, `redact` what was found (guards that can), or only `record` it on the prompt.",
    )
    message: str = Field("", description="What callers are told who are refused. Default: the guard's reason.")
    timeout_seconds: Seconds | None = Field(
        None, description="After so long the guard has failed. Default: `guard.timeout_seconds`."
    )
    isolation: Literal["none", "process"] = Field(
        "none",
        description="`process`: a guard of another distribution runs in a child process, so that its crash or standstill "
        "fails the question and nothing else. It then gets no tools, and can't redact.",
    )
    models: tuple[Text, ...] = Field(
        (), description="Patterns (`gpt-*`) of the models whose prompts it looks at. Default: all."
    )
    keys: tuple[Text, ...] = Field((), description="Ids of the keys whose prompts it looks at. Default: all.")
    teams: tuple[Text, ...] = Field((), description="Teams whose prompts it looks at. Default: all.")
    templates: tuple[Text, ...] = Field((), description="Templates whose prompts it looks at. Default: all prompts.")
    listeners: tuple[Text, ...] = Field(
        (), description="Listeners of an Arch file whose prompts it looks at. Default: all prompts."
    )

    @property
    def config(self) -> dict[str, Any]:
        """The keys of the guard, not yet checked."""
        return dict(self.__pydantic_extra__ or {})


class GuardSettings(Section):
    """What is refused, replaced or noted. By default, nothing. The keys beside `checks` are one more check, by the guard
    `rules` and of that name."""

    max_chars: int | None = Field(None, ge=1, description="Longest text of a prompt, in characters over all messages.")
    blocklist: tuple[Text, ...] = Field((), description="Words and phrases that are refused, in any case.")
    lists: tuple[WordListSettings, ...] = Field((), description="More words and phrases that are refused, by category.")
    whole_words: bool = Field(
        True, description="A word of the blocklist counts only between non-letters. Turn it off for Chinese or Thai."
    )
    patterns: tuple[PatternSettings, ...] = Field((), description="Named regular expressions that are refused.")
    output: bool = Field(
        False,
        description="Let these rules judge answers too. Their text then comes a little later: as far behind as a match can "
        "be long, or, where there is no such bound (`max_chars`, a pattern with `*`), all at its end.",
    )
    checks: dict[Name, CheckSettings] = Field({}, description="More checks, each by a name of yours.")
    timeout_seconds: Seconds = Field(
        10.0, description="After so long a guard has failed, and what it should have judged is refused."
    )

    @property
    def rules(self) -> dict[str, Any]:
        """What the rules guard is built from; empty where nothing is refused."""
        given = self.model_dump(include={"max_chars", "blocklist", "lists", "patterns"})
        rules = {name: value for name, value in given.items() if value}
        return rules | {"whole_words": self.whole_words} if rules else {}

    @model_validator(mode="after")
    def _one_name_each(self) -> GuardSettings:
        if RULES in self.checks and self.rules:
            raise ValueError(f"no check named {RULES!r} beside the keys of `guard` itself, which are one")
        return self
