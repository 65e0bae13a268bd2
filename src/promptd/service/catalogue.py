"""The models that promptd knows: those of the catalogue as soon as their files are there, and which one is the default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from promptd.core.catalogue import Catalogue, CatalogueModel, DefaultModel
from promptd.core.errors import Conflict, InvalidRequest, NotFound, PromptdError
from promptd.core.files import Download, DownloadStatus, download_id
from promptd.core.model import Model
from promptd.core.ports import Records
from promptd.core.routing import FREE, Route
from promptd.service.connections import Connection, Connections
from promptd.service.contents import Contents

_log = logging.getLogger(__name__)
_RECORD: Final = DefaultModel(model="").id

Connect = Callable[[CatalogueModel, Path], Connection | None]
"""The connection that serves a model's file; None where this machine has no engine for it."""


class Served(NamedTuple):
    """What `Connections.configure` takes."""

    connections: Mapping[str, Connection]
    routes: Mapping[str, Route]
    default: str | None


class Readiness(NamedTuple):
    """How a model stands: whether its files are there, and whether it can answer without being started."""

    assets: bool
    running: bool


class KnownModels:
    """Call `load` once before the house serves; `changed` is called whenever `served` says something new."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        records: Records,
        contents: Contents,
        connections: Connections,
        connect: Connect,
    ) -> None:
        self.catalogue = catalogue
        self._records, self._contents = records, contents
        self._connections, self._connect = connections, connect
        self._urls = {model.url for model in catalogue.models.values() if model.url}
        self._files: dict[str, Path] = {}  #: URL → where its completed download lies
        self._chosen: DefaultModel | None = None
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self.changed: Callable[[], None] = lambda: None
        connections.absent = self.refusal

    async def load(self) -> None:
        """What earlier runs left. Raises `StoreUnavailable`."""
        for url in self._urls:
            download = await self._records.get(Download, download_id(url))
            if download is not None:
                self._note(download)
        self._chosen = await self._records.get(DefaultModel, _RECORD)

    async def close(self) -> None:
        """Starts under way are given up; the engines close with the house."""
        starts = list(self._starts.values())
        for task in starts:
            task.cancel()
        await asyncio.gather(*starts, return_exceptions=True)

    # ---------------------------------------------------------------- what is served

    def heard(self, download: Download) -> None:
        """A download has another status."""
        if download.url in self._urls and self._note(download):
            self.changed()

    def _note(self, download: Download) -> bool:
        """Remember where the file lies; whether that is news."""
        before = self._files.pop(download.url, None)
        if download.status is DownloadStatus.COMPLETED and download.digest is not None:
            try:
                self._files[download.url] = self._contents.path(download.digest)
            except NotFound:
                _log.warning("the file of %s is gone", download.url, extra={"action": "model_file_gone"})
        return self._files.get(download.url) != before

    def served(self, connections: Mapping[str, Connection], routes: Mapping[str, Route], default: str | None) -> Served:
        """What is configured, and behind it every model of the catalogue whose files are there.

        The configuration's names win. The chosen default model wins over the configured one, while it is served.
        """
        all_connections, all_routes = dict(connections), dict(routes)
        for model in self.catalogue.models.values():
            connection = None if model.id in routes else self._serving(model, connections)
            if connection is not None:
                all_connections.setdefault(connection.name, connection)
                all_routes[model.id] = Route(
                    model=model.id,
                    connection=connection.name,
                    upstream=model.id,
                    price=FREE,
                    template=model.template or None,
                )
        if self._chosen is not None and self._chosen.model in all_routes:
            default = self._chosen.model
        return Served(all_connections, all_routes, default)

    def _serving(self, model: CatalogueModel, configured: Mapping[str, Connection]) -> Connection | None:
        """A model with a file gets a connection of its own name; one without is served by a configured engine."""
        if not model.url:
            return next((one for one in configured.values() if one.engine.type_id == model.engine), None)
        file = self._files.get(model.url)
        return self._connect(model, file) if file is not None and model.id not in configured else None

    # ---------------------------------------------------------------- how models stand

    def names(self) -> tuple[str, ...]:
        """The catalogue's models, and behind them those that are only configured."""
        return tuple(dict.fromkeys([*self.catalogue.models, *(model.name for model in self._connections.models())]))

    def get(self, name: str | None) -> Model | None:
        """A model that is served, by default the default one."""
        route = self._connections.route(name or self._connections.default_model or "")
        if route is None:
            return None
        return next(model for model in self._connections.status(route.connection) if model.name == route.model)

    def readiness(self, name: str | None) -> Readiness:
        """Of a model, by default the default one. Raises `NotFound`."""
        wanted = name or self._connections.default_model or ""
        model = self.get(wanted)
        if model is not None:
            return Readiness(assets=True, running=model.status == "ready")
        known = self._known(wanted)
        return Readiness(assets=not known.url or known.url in self._files, running=False)

    def _known(self, name: str) -> CatalogueModel:
        known = self.catalogue.models.get(name)
        if known is None:
            raise NotFound(f"there is no model {name[:200]!r}")
        return known

    def refusal(self, name: str) -> InvalidRequest | None:
        """Why a model of the catalogue can't be asked now, and what to do; None where it is none of the catalogue."""
        model = self.catalogue.models.get(name)
        if model is None:
            return None
        missing = f"modelId: the model {name!r} is not ready"
        if not model.url:
            todo = f"it needs a connection of the engine {model.engine!r} in the configuration"
        elif model.url in self._files:
            todo = f"the engine {model.engine!r} is not installed here"
        else:
            todo = f"its file is not downloaded: PUT /file-svc/download {model.url} or `promptd models pull {name}`"
        return InvalidRequest(f"{missing}; {todo}", field="model", expected="a model that is ready")

    def source(self, text: str) -> str:
        """What to download where `text` is a model's name: the URL of its file. Anything else stays as it is."""
        model = self.catalogue.models.get(text)
        if model is None:
            return text
        if not model.url:
            raise InvalidRequest(
                f"url: the model {text!r} has no file to download", field="url", expected="a model with a file"
            )
        return model.url

    # ---------------------------------------------------------------- verbs

    def start(self, name: str | None) -> None:
        """Begin to start a model, by default the default one, in the background; how that goes, `readiness` tells.

        Raises `NotFound`, `Conflict` where it can't be started.
        """
        model = self._require(name)
        if model.connection in self._starts or model.status == "ready":
            return
        self._starts[model.connection] = asyncio.create_task(self._start(model), name=f"start {model.name}")

    async def _start(self, model: Model) -> None:
        try:
            await self._connections.start(model.connection)
        except PromptdError as error:
            told = error.detail or error.message
            _log.error("model %s does not start: %s", model.name, told, extra={"action": "start_failed"})
        except Exception:  # a stranger's engine may raise anything when it starts
            _log.exception("model %s does not start", model.name, extra={"action": "start_failed"})
        finally:
            del self._starts[model.connection]

    async def make_default(self, name: str) -> None:
        """The model of prompts that name none, from now on and after a restart. Raises `NotFound`, `Conflict`."""
        async with self._one_at_a_time:
            model = self._require(name)
            version = 0 if self._chosen is None else self._chosen.version + 1
            chosen = DefaultModel(model=model.name, version=version)
            await self._records.put(chosen)
            self._chosen = chosen
            self.changed()

    def _require(self, name: str | None) -> Model:
        wanted = name or self._connections.default_model or ""
        model = self.get(wanted)
        if model is not None:
            return model
        refusal = self.refusal(wanted)
        raise NotFound(f"there is no model {wanted[:200]!r}") if refusal is None else Conflict(refusal.message)
