"""People, known models and downloads: the parts of the house that do not run prompts."""

from __future__ import annotations

import logging
import time
from importlib.resources import files
from pathlib import Path
from typing import Final

from promptd import home, registry
from promptd.core import catalogue
from promptd.core.catalogue import CatalogueModel
from promptd.core.errors import InvalidRequest, SettingsError
from promptd.core.files import Download
from promptd.core.ports import Records
from promptd.egress import Egress
from promptd.service.callers import TokenRules
from promptd.service.catalogue import KnownModels
from promptd.service.clock import Ids
from promptd.service.connections import Connection, Connections
from promptd.service.contents import Contents
from promptd.service.downloads import Downloads
from promptd.service.events import Event, Events
from promptd.service.keys import Keys
from promptd.service.people import People, gather
from promptd.service.transfer import DownloadRules
from promptd.settings import Settings
from promptd.vault.passwords import Argon2Passwords
from promptd.vault.signing import RsaSigner

_log = logging.getLogger("promptd")
_FIRST_USER = "1backend"
_SLOTS: Final = 2  # of a model of the catalogue; each takes memory for its context
_DOCUMENTED_PASSWORD = "changeme"  # noqa: S105 (the one that the original documents)


def people(
    settings: Settings, records: Records, keys: Keys, ids: Ids, passwords: Argon2Passwords, signer: RsaSigner
) -> People:
    rules = TokenRules(seconds=settings.tokens.seconds, auto_refresh=settings.tokens.auto_refresh)
    return gather(
        records=records,
        keys=keys,
        passwords=passwords,
        signer=signer,
        clock=time.time,
        ids=ids,
        rules=rules,
    )


async def known_models(
    settings: Settings,
    plugins: registry.Registry,
    records: Records,
    contents: Contents,
    connections: Connections,
    http: Egress,
) -> KnownModels:
    """Raises `SettingsError` for a hub that is no URL, `StoreUnavailable`."""
    raw = files("promptd").joinpath("models", "catalogue.json").read_bytes()
    try:
        known = catalogue.read(raw, settings.downloads.hub)
    except InvalidRequest:
        raise SettingsError("downloads.hub: expected an http or https URL", key="downloads.hub") from None

    def connect(model: CatalogueModel, file: Path) -> Connection | None:
        engine = plugins.engines.get(model.engine)
        if engine is None:
            return None
        config = engine.connection_config_class().model_validate({"gguf": str(file), "slots": _SLOTS})
        return Connection(name=model.id, engine=engine, config=config, http=http, slots=_SLOTS)

    models = KnownModels(catalogue=known, records=records, contents=contents, connections=connections, connect=connect)
    await models.load()
    return models


def downloads(
    settings: Settings, contents: Contents, records: Records, http: Egress, events: Events, models: KnownModels
) -> Downloads:
    def tell(download: Download) -> None:
        models.heard(download)
        events.tell(Event("download_changed", data={"url": download.url}))

    return Downloads(
        contents=contents,
        records=records,
        http=http,
        folder=settings.home / "downloads",
        clock=time.time,
        rules=DownloadRules(
            hub=settings.downloads.hub,
            at_once=settings.downloads.at_once,
            reserve_bytes=settings.downloads.reserve_bytes,
        ),
        listener=tell,
    )


async def first_user(settings: Settings, known: People) -> str | None:
    """Make the first user unless there is one; its password, where it had to be made."""
    password = _DOCUMENTED_PASSWORD if settings.compat.onebackend.default_admin else None
    return await known.users.ensure_admin(_FIRST_USER, password)


async def keep_keys(settings: Settings, keys: Keys) -> None:
    """An admin key and one for the command line of this user, each in a file that only this user may read."""
    given = settings.keys.admin_key
    await keys.set_operator(given.get_secret_value() if given is not None else None)
    for name, file in (("admin", home.ADMIN_KEY_FILE), ("command line", home.CLI_KEY_FILE)):
        path: Path = settings.home / file
        if (name == "admin" and given is not None) or await keys.is_good(home.read_secret(path)):
            continue
        _, secret = await keys.store(name=name, user="admin", admin=True)
        home.write_secret(path, secret)
        if name == "admin":
            _log.info("made an admin key: %s", path, extra={"action": "admin_key"})
