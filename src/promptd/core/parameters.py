"""How to generate: what a caller may ask for besides the conversation. Absent always means the engine's own default."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from promptd.core.content import Foreign, Tool


class ImageParameters(Struct, frozen=True, omit_defaults=True):
    """How to draw. Absent means the engine's own default; sizes in pixels."""

    prompt: str | None = None  #: what is drawn, where it is not the prompt's own text
    negative_prompt: str | None = None
    styles: tuple[str, ...] = ()
    seed: int | None = None
    batch_size: int | None = None  #: images per round
    rounds: int | None = None  #: how often a batch is drawn
    steps: int | None = None
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    denoising_strength: float | None = None  #: how far image-to-image may go from its image, 0 … 1
    upscale: bool | None = None
    restore_faces: bool | None = None
    scheduler: str | None = None
    format: str | None = None  #: `png`, `jpg` or `webp`
    mask: int | None = None  #: which of the prompt's files says where to draw: there it is transparent, or white
    partial_images: int | None = None  #: unfinished images that a stream shows on the way
    extra: dict[str, Any] = field(default_factory=dict)  #: fields that only the engine knows


class SpeechParameters(Struct, frozen=True, omit_defaults=True):
    """How to speak. Absent means the engine's own default."""

    voice: str | None = None
    speed: float | None = None  #: 1 is the voice's own
    format: str | None = None  #: `wav`, `mp3`, `flac`, `opus` …
    language: str | None = None  #: of a transcription's audio: ISO 639-1
    timestamps: tuple[str, ...] = ()  #: times that come with a transcription: of each `segment`, of each `word`
    deltas: bool = False  #: a transcription is told as it is heard, where the service can do that


class Parameters(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to generate. Absent means the engine's own default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: dict[str, Any] | None = None  #: the answer must be JSON that fits this schema
    grammar: str | None = None  #: GBNF, for engines that take it
    template: str | None = None  #: raw text around `{prompt}`; makes the prompt a completion
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None  #: `auto`, `none`, `required` or a tool's name
    image: ImageParameters | None = None
    speech: SpeechParameters | None = None
    extra: dict[str, Any] = field(default_factory=dict)  #: fields that only the engine knows
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    parallel_tool_calls: bool | None = None
    foreign_tools: tuple[Foreign, ...] = ()  #: tools that run at the service itself
    json_object: bool = False  #: the answer must be a JSON object, of any schema
    schema_name: str | None = None  #: what `json_schema` is called
    schema_strict: bool | None = None  #: whether the service must keep to `json_schema`
    effort: str | None = None  #: how much to think: `none`, `minimal`, `low`, `medium`, `high` …
    thinking_tokens: int | None = None  #: at most so many tokens of thought; 0: none
    logprobs: bool | None = None  #: tell the probability of each token …
    top_logprobs: int | None = None  #: … and of so many others in its place
    user: str | None = None  #: the end user, as the caller calls them
    n: int = 1  #: choices; more than one only where the request goes on as its caller wrote it
    best_of: int | None = None  #: answers that the service makes, to give the best of them; of raw texts only

    def wordless(self) -> bool:
        """Whether there are but numbers and switches: no text to judge, and nothing nested to walk."""
        return not (
            self.extra
            or self.tools
            or self.stop
            or self.json_schema
            or self.template is not None
            or self.grammar
            or self.tool_choice
            or self.foreign_tools
            or self.image
            or self.speech
            or self.schema_name
            or self.user
            or self.effort
        )
