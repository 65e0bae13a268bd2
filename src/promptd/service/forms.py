"""Forms of engines at work: shown, answered while somebody fills them in, and checked when they are saved.

Everything here works on drafts; what is stored is only looked at, for the secrets that a form never saw. A form, or the
code behind one, that fails costs its own panel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from msgspec import Struct, field

from promptd.core.configs import StoredFile, merge_secrets, redact_text
from promptd.core.configs.files import FILE_MARK
from promptd.core.engine import Config, Engine
from promptd.core.errors import InvalidRequest, NotFound, PromptdError, PromptSerializationError
from promptd.core.forms import (
    NOT_LOADED,
    Draft,
    FieldMessage,
    Form,
    FormContext,
    FormLogic,
    FormPatch,
    FormProblem,
    Option,
    answering,
    check_form,
    check_patch,
    element_id,
    generate,
    localise,
    public_data,
    public_patch,
    read_draft,
    validate_draft,
)
from promptd.core.localisation import Key, resolve
from promptd.core.texts import check_depth
from promptd.service.callbacks import Callbacks
from promptd.service.connection_tests import MakeClient, OwnClient, client_for, localizer_of
from promptd.service.contents import Contents
from promptd.service.form_data import FormText, Json, files_of, filled, strict
from promptd.service.redaction import RedactedLog, spellings
from promptd.service.settings_vault import Kind
from promptd.service.uploads import Uploads

UPLOAD_MARK: Final = "$upload"  #: `{"$upload": "<id of an upload>"}` stands for a new file
_FAILED: Final = Key("promptd.form.failed")
_MOST_OPTIONS: Final = 5000
_MOST_FILES: Final = 100


class Written(Struct, frozen=True, kw_only=True):
    """What somebody wrote into a form: its values, paths of secrets to be emptied, and what changed since it was shown."""

    values: dict[str, Any] = field(default_factory=dict)
    clear: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()
    revision: int = 0


class Subject(Struct, frozen=True, kw_only=True):
    """Whose form it is: of a connection or of one of its queries, stored or new, and who reads it.

    `before` is what is stored, `connection` what a query's connection has, `discovered` what its last test found.
    """

    engine: Engine[Any, Any]
    kind: Kind = "connection"
    object_id: str = ""
    locale: str = "en"
    before: Config | None = None
    connection: Config | None = None
    discovered: Mapping[str, Any] = {}

    @property
    def model(self) -> type[Config]:
        kind: type[Config] = (
            self.engine.query_config_class() if self.kind == "query" else self.engine.connection_config_class()
        )
        return kind

    @property
    def logic(self) -> FormLogic[Any, Any] | None:
        """Raises what the engine raises."""
        return self.engine.query_form_logic() if self.kind == "query" else self.engine.connection_form_logic()

    def draft(self, config: Config, http: OwnClient | None, data: Json, written: Written) -> Draft[Any, Any]:
        query = self.kind == "query"
        return Draft(
            connection=self.connection if query else config,
            query=config if query else None,
            data=data,
            changed=written.changed,
            revision=written.revision,
            locale=self.locale,
            http=http,
        )


class ShownForm(Struct, frozen=True, kw_only=True):
    """A form in the reader's language. Without `schema` and `ui`, `message` stands in its panel."""

    type: str
    kind: Kind
    object_id: str
    schema: Json | None = None
    ui: Json | None = None
    elements: dict[str, str] = field(default_factory=dict)  #: scope → id of its element on a page
    data: Json = field(default_factory=dict)  #: what it starts with; secrets are marks
    secrets: dict[str, bool] = field(default_factory=dict)  #: path → whether it is set
    message: str = ""
    problems: tuple[FormProblem, ...] = ()


class Forms:
    """`client` makes the way out of the code behind a form."""

    def __init__(self, *, callbacks: Callbacks, client: MakeClient, uploads: Uploads, contents: Contents) -> None:
        self._callbacks, self._client = callbacks, client
        self._uploads, self._contents = uploads, contents

    # ---------------------------------------------------------------- shown

    async def show(self, subject: Subject) -> ShownForm:
        """Never raises for an engine's fault."""
        form, problems = await self._form(subject)
        facts: Json = {"type": subject.engine.type_id, "kind": subject.kind, "object_id": subject.object_id}
        localizer = localizer_of(subject.engine)
        try:
            data = public_data(subject.before if subject.before is not None else subject.model())
            if form is not None:
                shown = await self._callbacks.call(localise, form, localizer, subject.locale)
                return ShownForm(
                    **facts, **data, schema=shown.schema, ui=shown.ui, elements=_elements(subject, form.ui)
                )
        except Exception as error:  # the author's models and texts are asked in there
            problems = (FormProblem("", f"it raised {type(error).__name__}"),)
        return ShownForm(**facts, message=resolve(NOT_LOADED, None, subject.locale), problems=problems)

    async def _form(self, subject: Subject) -> tuple[Form | None, tuple[FormProblem, ...]]:
        query = subject.kind == "query"
        make = subject.engine.query_form if query else subject.engine.connection_form
        context = FormContext(
            type_id=subject.engine.type_id,
            object_id=subject.object_id,
            locale=subject.locale,
            connection=subject.connection,
            discovered=subject.discovered,
        )
        try:
            form = await self._callbacks.call(make, context)
            problems = tuple(await self._callbacks.call(check_form, form))
        except Exception as error:  # a stranger's code: its panel says that it could not be loaded
            secrets = spellings(subject.connection, subject.before)
            RedactedLog(secrets).warning("the form of %s raised", subject.engine.type_id, exc_info=error)
            return None, (FormProblem("", f"it raised {type(error).__name__}"),)
        return (None, problems) if problems else (form, ())

    # ---------------------------------------------------------------- answered

    async def options(self, subject: Subject, written: Written, source: str, search: str) -> Json:
        """The choices of a field: of the form's code, else what the last test discovered. A patch."""

        async def ask(logic: FormLogic[Any, Any] | None, draft: Draft[Any, Any]) -> FormPatch:
            found = await self._callbacks.call(logic.options, source, draft, search) if logic is not None else ()
            options = list(found)[:_MOST_OPTIONS] or _discovered(subject.discovered.get(source), search)
            return FormPatch(options={source: options})

        return await self._answer(subject, written, ask)

    async def change(self, subject: Subject, written: Written, path: str) -> Json:
        """What else changes, now that the field at `path` has. A patch."""

        async def ask(logic: FormLogic[Any, Any] | None, draft: Draft[Any, Any]) -> FormPatch:
            changed = await self._callbacks.call(logic.on_change, path, draft) if logic is not None else None
            return FormPatch() if changed is None else changed

        return await self._answer(subject, written, ask)

    async def act(self, subject: Subject, written: Written, name: str) -> Json:
        """A button was pressed. A patch."""

        async def ask(logic: FormLogic[Any, Any] | None, draft: Draft[Any, Any]) -> FormPatch:
            done = await self._callbacks.call(logic.action, name, draft) if logic is not None else None
            return FormPatch() if done is None else done

        return await self._answer(subject, written, ask)

    async def validate(self, subject: Subject, written: Written) -> Json:
        """All that forbids to save. A patch that holds messages."""
        text = await self._text(subject, written)
        messages, _ = await self._judge(subject, written, text)
        return self._public(subject, text, FormPatch(messages=messages, revision=written.revision))

    async def _answer(
        self,
        subject: Subject,
        written: Written,
        ask: Callable[[FormLogic[Any, Any] | None, Draft[Any, Any]], Any],
    ) -> Json:
        """Values stay as they are where the code fails; the patch says so. Raises `InvalidRequest`, `NotFound`."""
        text = await self._text(subject, written)
        form, _ = await self._form(subject)
        secrets = self._secrets(subject, text)
        try:
            async with self._draft(subject, written, text) as draft:
                patch = await ask(subject.logic, draft)
                patch = answering(patch, draft)
            form = form or generate(subject.model)
            problems = await self._callbacks.call(check_patch, form, patch)
            if problems:
                raise TypeError("; ".join(f"{problem.path}: {problem.reason}" for problem in problems[:5]))
            if patch.ui is not None:
                localizer = localizer_of(subject.engine)
                ui = localise(Form(form.schema, patch.ui), localizer, subject.locale).ui
                patch = FormPatch(patch.values, patch.options, patch.messages, ui, patch.revision)
            return self._public(subject, text, patch)
        except PromptdError as error:
            message: Any = error.message
            RedactedLog(secrets).info("the code behind a form: %s", error.detail or error.message)
        except Exception as error:  # a stranger's code, or what it returned
            message = _FAILED
            RedactedLog(secrets).warning("the code behind a form failed", exc_info=error)
        failed = FormPatch(messages=[FieldMessage("", message)], revision=written.revision)
        return self._public(subject, text, failed)

    def _public(self, subject: Subject, text: FormText, patch: FormPatch) -> Json:
        secrets = self._secrets(subject, text)
        return public_patch(patch, subject.model, localizer_of(subject.engine), subject.locale, secrets)

    def _secrets(self, subject: Subject, text: FormText) -> tuple[str, ...]:
        """All that nobody may read in an answer: stored ones, and those that were just written."""
        written = None
        with suppress(PromptSerializationError):  # then its code does not see it either
            written = read_draft(subject.model, text.data, text.files)
        return spellings(subject.before, subject.connection, written)

    # ---------------------------------------------------------------- saved

    async def read(self, subject: Subject, written: Written) -> Config:
        """What was written, as far as it can be read. Raises `InvalidRequest`, `NotFound`, `PromptSerializationError`."""
        text = await self._text(subject, written)
        config: Config = await self._callbacks.call(read_draft, subject.model, text.data, text.files)
        return config

    async def accept(self, subject: Subject, written: Written) -> Config:
        """What was written, as settings that may be saved. Raises `InvalidRequest` that names the first fault."""
        text = await self._text(subject, written)
        messages, config = await self._judge(subject, written, text)
        if config is None:
            first = next(message for message in messages if message.level == "error")
            secrets = self._secrets(subject, text)
            said = redact_text(resolve(first.message, localizer_of(subject.engine), subject.locale), secrets)
            where = f"config.{first.path}" if first.path else "config"
            raise InvalidRequest(f"{where}: {said}", field=where, expected=said)
        return config

    async def _judge(
        self, subject: Subject, written: Written, text: FormText
    ) -> tuple[Sequence[FieldMessage], Config | None]:
        """Every message, and the settings where none of them is an error."""
        form, _ = await self._form(subject)
        form = form or generate(subject.model)  # a broken form must not lock its settings in
        localizer, model = localizer_of(subject.engine), subject.model
        check = partial(validate_draft, localizer=localizer, locale=subject.locale, files=text.files)
        messages: list[FieldMessage] = await self._callbacks.call(check, form, model, text.data)
        if messages:
            return messages, None
        config = await self._callbacks.call(strict, model, text)
        try:
            logic = subject.logic
            if logic is not None:
                async with self._draft(subject, written, text) as draft:
                    found = list(await self._callbacks.call(logic.validate, draft))
                if not all(isinstance(message, FieldMessage) for message in found):
                    raise TypeError("validate returned something else than messages")
                messages = found[:100]
        except Exception as error:  # a stranger's check that fails has not said yes
            secrets = self._secrets(subject, text)
            RedactedLog(secrets).warning("the check behind a form failed", exc_info=error)
            messages = [FieldMessage("", error.message if isinstance(error, PromptdError) else _FAILED)]
        return messages, None if any(message.level == "error" for message in messages) else config

    # ---------------------------------------------------------------- drafts

    async def _text(self, subject: Subject, written: Written) -> FormText:
        """What was written, with the secrets that it left as they were and the files that it names."""
        check_depth(written.values, "config")
        files = dict(files_of(subject.before))
        data = await self._placed(written.values, files)
        model = subject.model
        merged = merge_secrets(model, data, subject.before, clear=frozenset(written.clear))
        return FormText(filled(model, merged), files)

    async def _placed(self, value: Any, files: dict[str, StoredFile]) -> Any:
        """`value` with a slot for each upload; the uploads join `files`."""
        if isinstance(value, dict):
            identifier = value.get(UPLOAD_MARK)
            if isinstance(identifier, str) and len(value) == 1:
                if len(files) >= _MOST_FILES:
                    raise InvalidRequest(field="config", expected=f"at most {_MOST_FILES} files")
                files[identifier] = await self._uploaded(identifier)
                return {FILE_MARK: identifier}
            if isinstance(value.get(FILE_MARK), str):
                return {FILE_MARK: value[FILE_MARK]}  # forms send back what they were told about a file
            return {name: await self._placed(inner, files) for name, inner in value.items()}
        return [await self._placed(inner, files) for inner in value] if isinstance(value, list) else value

    async def _uploaded(self, identifier: str) -> StoredFile:
        try:
            upload = await self._uploads.get(identifier)
        except NotFound:
            raise InvalidRequest(field="config", expected="ids of uploaded files") from None
        return StoredFile(
            upload.name,
            upload.media_type,
            datetime.fromtimestamp(upload.created, UTC),
            partial(self._contents.open, upload.digest),
            upload.size,
        )

    @asynccontextmanager
    async def _draft(self, subject: Subject, written: Written, text: FormText) -> AsyncIterator[Draft[Any, Any]]:
        config = await self._callbacks.call(read_draft, subject.model, text.data, text.files)
        try:
            client = client_for(self._client, subject.connection if subject.connection is not None else config)
        except InvalidRequest:
            client = self._client([])  # an address that is half written
        try:
            yield subject.draft(config, client, text.data, written)
        finally:
            await client.close()


def _discovered(found: Any, search: str) -> list[Option]:
    wanted = search.casefold()
    values = found if isinstance(found, list) else []
    return [Option(value) for value in values[:_MOST_OPTIONS] if wanted in str(value).casefold()]


def _elements(subject: Subject, ui: Json) -> dict[str, str]:
    return {
        scope: element_id(subject.engine.type_id, subject.object_id or subject.kind, scope) for scope in _scopes(ui)
    }


def _scopes(node: Json) -> Iterator[str]:
    if isinstance(node.get("scope"), str):
        yield node["scope"]
    for child in node.get("elements") or ():
        yield from _scopes(child)
