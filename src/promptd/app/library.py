"""Puts together what is stored to be asked: connections, queries, templates, and the steps that run them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from promptd import registry
from promptd.core import rendering
from promptd.core.errors import ConfigUnusable, SettingsError
from promptd.core.ports import Records
from promptd.dialects import dotprompt
from promptd.egress.own import own_client
from promptd.service.attached import Attached
from promptd.service.callbacks import Callbacks
from promptd.service.callers import Callers
from promptd.service.chains import Chains
from promptd.service.clock import Clock, Ids
from promptd.service.connection_tests import ConnectionTests, OwnClient
from promptd.service.connections import Connections
from promptd.service.contents import Contents
from promptd.service.execution import Execution
from promptd.service.forms import Forms
from promptd.service.fulfilment import Fulfilment
from promptd.service.functions import Functions
from promptd.service.installed import Installed
from promptd.service.intake import Intake
from promptd.service.prompts import Prompts
from promptd.service.queries import Queries
from promptd.service.rotation import Rotation
from promptd.service.settings_vault import SettingsVault
from promptd.service.stored_connections import StoredConnections
from promptd.service.streams import Streams
from promptd.service.templates import Templates
from promptd.service.trials import Trials
from promptd.service.uploads import Uploads
from promptd.service.version_settings import VersionSettings
from promptd.service.worker import Worker
from promptd.settings import Settings
from promptd.vault import AesGcmVault, KeyFile, KeyRing, KeySource, KeyText

_KEY_FILE: Final = "vault.key"


class Library(Struct, frozen=True, kw_only=True):
    """What the house hands out of it."""

    stored: StoredConnections
    forms: Forms
    settings_vault: SettingsVault
    templates: Templates
    queries: Queries
    functions: Functions
    rotation: Rotation
    installed: Installed


async def make(
    settings: Settings,
    plugins: registry.Registry,
    records: Records,
    contents: Contents,
    uploads: Uploads,
    connections: Connections,
    named: Sequence[str],
    clock: Clock,
    ids: Ids,
) -> Library:
    """`named` are the addresses of the settings file. Raises `StoreUnavailable`, `SettingsError`."""
    given = settings.stored_connections
    callbacks = Callbacks(given.callback_seconds)
    vault = await asyncio.to_thread(_vault, settings)
    settings_vault = SettingsVault(vault, contents, callbacks)

    def client(origins: Sequence[str]) -> OwnClient:
        return own_client(origins, named=(*given.allow, *named), private=given.allow_private)

    forms = Forms(callbacks=callbacks, client=client, uploads=uploads, contents=contents)
    stored = StoredConnections(
        records=records,
        vault=settings_vault,
        contents=contents,
        engines=plugins.engines,
        forms=forms,
        tests=ConnectionTests(callbacks=callbacks, client=client, seconds=given.test_seconds),
        client=client,
        taken=lambda name: connections.get(name) is not None,
        clock=clock,
        ids=ids,
    )
    versions = VersionSettings(records=records, settings=settings_vault)
    contents.named_besides.append(versions.named)
    await stored.load()
    templates = Templates(records=records, clock=clock)
    queries = Queries(
        connections=connections,
        vault=settings_vault,
        callbacks=callbacks,
        forms=forms,
        uploads=uploads,
        contents=contents,
    )
    rendering.register(rendering.Dialect.HANDLEBARS, dotprompt.Handlebars())
    functions = Functions(templates=templates, queries=queries)
    templates.check = functions.check
    stored.users_of.append(templates.users_of)
    return Library(
        stored=stored,
        forms=forms,
        settings_vault=settings_vault,
        templates=templates,
        queries=queries,
        functions=functions,
        rotation=Rotation(
            vault=vault,
            settings=settings_vault,
            places=(stored.renew_seals, versions.renew_seals),
        ),
        installed=Installed(plugins.engines, plugins.problems, plugins.origins),
    )


def _vault(settings: Settings) -> AesGcmVault:
    """Raises `SettingsError` for a key that is there and can't be used."""
    given = settings.vault
    source: KeySource
    if given.kind == "environment" and given.key is not None:
        source = KeyText(given.key.get_secret_value(), "vault.key")
    elif given.kind == "keyring":
        source = KeyRing(given.entry or f"promptd {settings.home}")
    else:
        source = KeyFile(given.path or settings.home / _KEY_FILE)
    vault = AesGcmVault(source)
    try:
        vault.check()
    except ConfigUnusable as error:
        raise SettingsError(f"vault: {error.message}", key="vault") from None
    return vault


def join(
    library: Library,
    settings: Settings,
    execution: Execution,
    attached: Attached,
    worker: Worker,
    uploads: Uploads,
    callers: Callers,
) -> Trials:
    """Give execution the steps that templates need."""
    fulfilment = Fulfilment(
        templates=library.templates,
        queries=library.queries,
        uploads=uploads,
        callers=callers,
        worker=worker,
        attached=attached,
        max_bytes=lambda: settings.files.max_upload_bytes,
    )
    execution.equip, execution.fulfilment = fulfilment.equip, fulfilment
    trials = Trials(functions=library.functions, attached=attached)
    library.templates.gate = trials.gate
    return trials


def chains(
    library: Library,
    records: Records,
    intake: Intake,
    prompts: Prompts,
    streams: Streams,
    callers: Callers,
    clock: Clock,
    ids: Ids,
) -> Chains:
    """Runs of several templates; a template that one of them uses stays."""
    made = Chains(
        records=records,
        functions=library.functions,
        queries=library.queries,
        intake=intake,
        prompts=prompts,
        streams=streams,
        callers=callers,
        clock=clock,
        ids=ids,
    )
    library.templates.in_use = made.users_of
    return made
