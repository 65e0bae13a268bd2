"""Known models over a real store: what is served, what stays, what is told when something fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from promptd.core.catalogue import Catalogue, CatalogueModel, DefaultModel
from promptd.core.engine import NoConfig, Standing
from promptd.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownModel,
)
from promptd.core.files import Download, DownloadStatus, download_id
from promptd.core.ports import HttpClient, Records
from promptd.core.routing import Route
from promptd.egress import Egress
from promptd.service.catalogue import KnownModels
from promptd.service.connections import Connection, Connections
from promptd.service.contents import Contents
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from tests.service.house import Puppet

URL = "http://hub/one.gguf"
MODELS = {
    "one": CatalogueModel(id="one", engine="puppet", name="One", url=URL, template="<{prompt}>"),
    "painter": CatalogueModel(id="painter", engine="image", name="Painter"),
    "foreign": CatalogueModel(id="foreign", engine="not-here", name="Foreign", url="http://hub/two.gguf"),
}


class Local(Puppet):
    """A puppet that has to be started, and does so when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.up: set[str] = set()
        self.starts: list[str] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def start(self, name: str, connection: NoConfig, http: HttpClient) -> None:
        self.starts.append(name)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.up.add(name)

    def standing(self, name: str, connection: NoConfig) -> Standing:
        return Standing(state="ready" if name in self.up else "stopped")


class Site:
    """Known models beside one configured model, `plain`."""

    def __init__(self, home: Path, database: Database, engine: Local) -> None:
        self.engine, self.http = engine, Egress()
        self.records: Records = database.records
        self.contents = Contents(FolderFiles(home / "files"), self.records)
        self.configured = {"own": self.connection("own")}
        self.routes = {"plain": Route(model="plain", connection="own", upstream="plain")}
        self.connections = Connections(self.configured, self.routes, "plain")
        self.models = KnownModels(
            catalogue=Catalogue(MODELS, ()),
            records=self.records,
            contents=self.contents,
            connections=self.connections,
            connect=lambda model, file: self.connection(model.id) if model.engine == engine.type_id else None,
        )
        self.models.changed = self.serve

    def connection(self, name: str) -> Connection:
        return Connection(name=name, engine=self.engine, config=NoConfig(), http=self.http)

    def serve(self) -> None:
        self.connections.configure(*self.models.served(self.configured, self.routes, "plain"))

    async def fetched(self, url: str = URL, **changes: object) -> Download:
        """A completed download, stored; `heard` would be called for it."""

        async def content() -> AsyncIterator[bytes]:
            yield url.encode()

        async def record(digest: str) -> Download:
            fields = {"status": DownloadStatus.COMPLETED, "digest": digest} | changes
            key = download_id(url)
            old = await self.records.get(Download, key)
            version = 0 if old is None else old.version + 1
            made = Download(id=key, url=url, name="x", user="", created=1.0, updated=1.0, version=version, **fields)  # type: ignore[arg-type]
            await self.records.put(made)
            return made

        return await self.contents.keep(content(), record)


@asynccontextmanager
async def site(home: Path, engine: Local | None = None) -> AsyncIterator[Site]:
    database = Database(home / "promptd.db")
    made = Site(home, database, engine or Local())
    await made.models.load()
    made.serve()
    try:
        yield made
    finally:
        await made.models.close()
        await made.http.close()
        await database.close()


async def test_a_model_is_served_from_the_moment_its_file_is_there(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert here.models.readiness("one") == (False, False)
        here.models.heard(await here.fetched())
        assert here.models.readiness("one") == (True, False)
        route = here.connections.resolve("one")
        assert (route.connection, route.template) == ("one", "<{prompt}>")
        here.models.heard(await here.fetched(status=DownloadStatus.IN_PROGRESS, digest=None))
        assert here.models.readiness("one") == (False, False)
        assert here.connections.get("one") is None


async def test_downloads_of_other_files_change_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        served = list(here.connections)
        here.models.changed = lambda: pytest.fail("nothing has changed")
        here.models.heard(await here.fetched("http://hub/other.gguf"))
        assert list(here.connections) == served


async def test_what_was_fetched_is_served_after_a_restart(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.fetched()
    async with site(tmp_path) as here:
        assert here.models.readiness("one") == (True, False)
        assert here.connections.resolve("one").connection == "one"


async def test_a_file_that_is_gone_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with site(tmp_path) as here:
        download = await here.fetched()
        here.contents.path(download.digest or "").unlink()
    async with site(tmp_path) as here:
        assert here.models.readiness("one") == (False, False)
        assert "is gone" in caplog.text
        with pytest.raises(InvalidRequest, match="models pull one"):
            here.connections.resolve("one")


async def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with pytest.raises(InvalidRequest, match=f"modelId: .*'one'.*PUT /file-svc/download {URL}") as refused:
            here.connections.resolve("one")
        assert refused.value.field == "model"
        with pytest.raises(InvalidRequest, match="connection of the engine 'image'"):
            here.connections.resolve("painter")
        here.models.heard(await here.fetched("http://hub/two.gguf"))
        with pytest.raises(InvalidRequest, match="engine 'not-here' is not installed"):
            here.connections.resolve("foreign")
        with pytest.raises(UnknownModel):
            here.connections.resolve("nothing")
        for verb in (here.models.readiness, here.models.start):
            with pytest.raises(NotFound):
                verb("nothing")


async def test_the_default_is_a_choice_that_survives(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with pytest.raises(Conflict, match="not downloaded"):
            await here.models.make_default("one")
        with pytest.raises(NotFound):
            await here.models.make_default("nothing")
        here.models.heard(await here.fetched())
        await here.models.make_default("one")
        assert here.connections.resolve(None).model == "one"
        await here.models.make_default("plain")
        await here.models.make_default("one")
        here.serve()  # as a reload does
        assert here.connections.default_model == "one"
    async with site(tmp_path) as here:
        assert here.connections.default_model == "one"
        assert here.models.readiness(None) == (True, False)
        # without its file it gives way, and comes back with it
        here.models.heard(await here.fetched(status=DownloadStatus.PAUSED, digest=None))
        assert here.connections.default_model == "plain"
        here.models.heard(await here.fetched())
        assert here.connections.default_model == "one"


async def test_a_choice_that_can_not_be_stored_is_none(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        stored = here.records.put

        async def put(*records: object, gone: object = ()) -> None:
            raise StoreUnavailable

        here.records.put = put  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await here.models.make_default("plain")
        here.records.put = stored  # type: ignore[method-assign]
        assert await here.records.get(DefaultModel, "default") is None
        await here.models.make_default("plain")


async def test_a_start_returns_at_once_and_happens_once(tmp_path: Path) -> None:
    engine = Local()
    async with site(tmp_path, engine) as here:
        here.models.start(None)
        here.models.start("plain")
        assert here.models.readiness("plain") == (True, False)
        engine.gate.set()
        async with asyncio.timeout(10):
            while not here.models.readiness("plain").running:
                await asyncio.sleep(0)
        here.models.start("plain")
        assert engine.starts == ["own"]
        with pytest.raises(Conflict, match="not downloaded"):
            here.models.start("one")


@pytest.mark.parametrize("error", [ServiceUnavailable("its process died", detail="of thirst"), RuntimeError("thirst")])
async def test_a_start_that_fails_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    engine = Local()
    engine.error = error
    engine.gate.set()
    async with site(tmp_path, engine) as here:
        with caplog.at_level(logging.ERROR):
            here.models.start("plain")
            async with asyncio.timeout(10):
                while "thirst" not in caplog.text:
                    await asyncio.sleep(0)
        engine.error = None
        here.models.start("plain")  # another try is a new one
        async with asyncio.timeout(10):
            while not here.models.readiness("plain").running:
                await asyncio.sleep(0)
        assert engine.starts == ["own", "own"]


async def test_a_start_under_way_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        async with site(tmp_path) as here:
            here.models.start("plain")
            await asyncio.sleep(0)
            assert here.engine.starts == ["own"]


async def test_names_stand_for_the_urls_of_their_files(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        assert here.models.source("one") == URL
        assert here.models.source("http://x/y") == "http://x/y"
        with pytest.raises(InvalidRequest, match="no file") as refused:
            here.models.source("painter")
        assert refused.value.field == "url"
        assert here.models.names() == ("one", "painter", "foreign", "plain")
