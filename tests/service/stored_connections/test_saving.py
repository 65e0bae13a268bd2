"""Stored connections: saved, sealed, changed, deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core.connections import StoredConnection
from promptd.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    StaleVersion,
)
from promptd.core.filters import Query
from promptd.service.forms import Written
from promptd.service.known_connections import Known
from tests.service.connection_lab import KEY, Lab, opened, printer
from tests.service.house import ADMIN

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ saved and served


async def test_a_saved_connection_is_served_and_survives_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        made = await lab.make(base_url="https://print.example/v1", proxy={"host": "p", "password": "hidden words"})
        assert made.state == "clean"
        assert lab.changes == 1
        assert set(lab.stored.served({})) == {"office"}
        lane = lab.stored.served({})["office"]
        assert (lane.engine, lane.config, lane.slots) == (lab.printer, made.config, 4)
        uuid = made.record.id
    async with opened(tmp_path) as again:
        known = await again.stored.get("office")
        assert (known.record.id, known.state, known.config) == (uuid, "clean", made.config)
        assert printer(known).proxy.password.get_secret_value() == "hidden words"
        assert (await again.stored.get(uuid)) is known
        assert (await again.stored.require("office")).config == made.config


@pytest.mark.formcycle(9)
async def test_secrets_are_sealed_on_disk(lab: Lab, tmp_path: Path) -> None:
    made = await lab.make(proxy={"password": "hidden words"})
    await lab.save(made, api_key="another-secret")
    await lab.database.close()
    for file in tmp_path.iterdir():
        if file.is_file():
            content = file.read_bytes()
            assert not any(word in content for word in (KEY.encode(), b"hidden words", b"another-secret")), file


async def test_names_are_unique_also_among_those_of_the_settings(lab: Lab) -> None:
    made = await lab.make()
    for name in ("office", "builtin"):
        with pytest.raises(Conflict, match=f"'{name}' already"):
            await lab.make(name)
    with pytest.raises(Conflict):
        await lab.stored.update(
            (await lab.make("other")).record.id, changed=made.record.changed, written=None, locale="en", name="office"
        )
    with pytest.raises(InvalidRequest) as caught:
        await lab.make("no name")
    assert caught.value.field == "name"
    with pytest.raises(InvalidRequest) as caught:
        await lab.make("unknown", engine="acme.gone")
    assert caught.value.field == "engine"


async def test_the_configurations_names_win(lab: Lab) -> None:
    made = await lab.make()
    assert made.lane is not None
    other = replace(made.lane, slots=9)
    assert lab.stored.served({"office": other}) == {"office": other}


async def test_what_is_wrong_is_named_and_nothing_is_stored(lab: Lab) -> None:
    wrong: dict[str, Any] = {
        "config.pages": {"pages": 0},
        "config.proxy.host": {"proxy": {"host": 5}},
        "config.base_url": {"base_url": " "},  # required
        "config.colour": {"colour": True},
        "config.mode": {"mode": "loud"},
    }
    for field, values in wrong.items():
        with pytest.raises(InvalidRequest) as caught:
            await lab.make(**values)
        assert caught.value.field == field
        assert KEY not in str(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        await lab.make(api_key="")
    assert caught.value.field == "config.api_key"
    assert lab.stored.list() == ()
    assert lab.changes == 0


async def test_messages_are_in_the_readers_language(lab: Lab) -> None:
    written = Written(values={"api_key": KEY, "base_url": ""})
    with pytest.raises(InvalidRequest, match=r"config\.base_url: Das ist erforderlich"):
        await lab.stored.create("root", name="x", engine="acme.printer", written=written, locale="de-AT")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/v1", "http://[::1]/", "http://169.254.169.254/latest", "http://localhost"]
)
async def test_private_addresses_need_the_operators_word(lab: Lab, url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await lab.make(base_url=url)
    assert caught.value.field == "base_url"
    lab.named.append(url)
    assert (await lab.make(base_url=url)).lane is not None


async def test_addresses_with_credentials_are_refused(lab: Lab) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await lab.make(base_url="https://me:secretword@print.example")
    assert caught.value.field == "base_url"
    assert "secretword" not in str(caught.value)


# ------------------------------------------------------------------ changed


async def test_a_change_is_based_on_what_was_shown(lab: Lab) -> None:
    made = await lab.make()
    first = await lab.save(made, base_url="https://one.example")
    assert first.record.changed > made.record.changed, "also within one tick of the clock"
    with pytest.raises(StaleVersion):
        await lab.save(made, base_url="https://two.example")
    assert printer(await lab.stored.get("office")).base_url == "https://one.example"


async def test_of_two_changes_at_once_one_wins(lab: Lab) -> None:
    made = await lab.make()
    outcomes = await asyncio.gather(*(lab.save(made, pages=number + 1) for number in range(8)), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Known)]
    assert len(won) == 1
    assert sum(isinstance(outcome, StaleVersion) for outcome in outcomes) == 7
    assert printer(await lab.stored.get("office")) == won[0].config


async def test_facts_change_without_the_settings(lab: Lab) -> None:
    made = await lab.make()
    lane = lab.stored.served({})["office"]
    changed = await lab.stored.update(
        made.record.id, changed=made.record.changed, written=None, locale="en", description="third floor", slots=2
    )
    assert (changed.record.description, changed.record.slots) == ("third floor", 2)
    assert changed.record.settings == made.record.settings
    assert changed.record.backup is None
    served = lab.stored.served({})["office"]
    assert (served.slots, served.http, served.config) == (2, lane.http, lane.config)
    with pytest.raises(InvalidRequest) as caught:
        await lab.stored.update(made.record.id, changed=changed.record.changed, written=None, locale="en", slots=0)
    assert caught.value.field == "slots"


@pytest.mark.formcycle(10)
async def test_blank_secrets_stay_and_cleared_ones_go(lab: Lab) -> None:
    made = await lab.make(proxy={"password": "hidden"})

    def secrets(known: Known) -> tuple[str, str]:
        config = printer(known)
        return config.api_key.get_secret_value(), config.proxy.password.get_secret_value()

    kept = await lab.save(made, api_key="", proxy={"host": "p", "password": ""}, pages=3)
    assert secrets(kept) == (KEY, "hidden")
    left_out = await lab.save(kept, pages=4)
    assert secrets(left_out) == (KEY, "hidden")
    marked = await lab.save(left_out, api_key={"$secret": "api_key"}, proxy={"password": {"$secret": "proxy.password"}})
    assert secrets(marked) == (KEY, "hidden")
    replaced = await lab.save(marked, api_key="new one")
    assert secrets(replaced) == ("new one", "hidden")
    cleared = await lab.save(replaced, clear=("proxy.password",))
    assert secrets(cleared) == ("new one", "")
    with pytest.raises(InvalidRequest) as caught:  # it is required
        await lab.save(cleared, clear=("api_key",))
    assert caught.value.field == "config.api_key"
    assert secrets(await lab.stored.get("office")) == ("new one", "")


Step = tuple[str, str, str]


_steps = st.lists(
    st.tuples(
        st.sampled_from(["blank", "absent", "mark", "write", "clear"]),
        st.text(st.characters(codec="utf-8", exclude_characters=" "), min_size=1, max_size=20).filter(str.strip),
        st.sampled_from(["plain", "colour"]),
    ),
    max_size=6,
)


@given(_steps)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_saved_the_secret_is_the_last_one_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    async def play() -> None:
        async with opened(tmp_path_factory.mktemp("steps")) as lab:
            known = await lab.make()
            secret = ""
            for verb, text, mode in steps:
                passwords: dict[str, dict[str, Any]] = {
                    "blank": {"password": ""},
                    "absent": {},
                    "mark": {"password": {"$secret": "proxy.password"}},
                    "write": {"password": text},
                    "clear": {"password": text},
                }
                clear = ("proxy.password",) if verb == "clear" else ()
                known = await lab.save(known, proxy=passwords[verb], mode=mode, clear=clear)
                secret = text if verb == "write" else "" if verb == "clear" else secret
                assert printer(known).proxy.password.get_secret_value() == secret
                assert (printer(known).mode, printer(known).api_key.get_secret_value()) == (mode, KEY)
            async with opened(lab.home) as again:
                assert (await again.stored.get("office")).config == known.config

    asyncio.run(play())


async def test_the_settings_before_the_last_save_can_be_restored(lab: Lab) -> None:
    made = await lab.make(pages=1)
    saved = await lab.save(made, pages=2)
    assert saved.record.backup == made.record.settings
    back = await lab.stored.restore(made.record.id, changed=saved.record.changed)
    assert printer(back).pages == 1
    assert (back.record.settings, back.record.backup) == (made.record.settings, saved.record.settings)
    assert lab.stored.served({})["office"].config == made.config
    with pytest.raises(StaleVersion):
        await lab.stored.restore(made.record.id, changed=saved.record.changed)
    fresh = await lab.make("fresh")
    with pytest.raises(Conflict, match="no earlier settings"):
        await lab.stored.restore(fresh.record.id, changed=fresh.record.changed)


@pytest.mark.formcycle(46)
async def test_one_in_use_is_neither_deleted_nor_renamed(lab: Lab) -> None:
    made = await lab.make()
    users = {"office": ["letters", "labels"]}

    async def users_of(name: str) -> list[str]:
        return users.get(name, [])

    lab.stored.users_of.append(users_of)
    with pytest.raises(Conflict, match="letters, labels"):
        await lab.stored.delete("office")
    with pytest.raises(Conflict, match="letters, labels"):
        await lab.stored.update("office", changed=made.record.changed, written=None, locale="en", name="desk")
    assert set(lab.stored.served({})) == {"office"}
    users.clear()
    renamed = await lab.stored.update("office", changed=made.record.changed, written=None, locale="en", name="desk")
    assert renamed.record.id == made.record.id
    assert set(lab.stored.served({})) == {"desk"}
    await lab.stored.delete("desk")
    assert lab.stored.served({}) == {}
    with pytest.raises(NotFound):
        await lab.stored.get(made.record.id)
    assert await lab.database.records.get(StoredConnection, made.record.id) is None


# ------------------------------------------------------------------ files


async def test_files_are_kept_with_their_connection_and_go_with_it(lab: Lab) -> None:
    made = await lab.make(certificate={"$upload": await lab.upload(b"first")})
    certificate = printer(made).certificate
    assert certificate is not None
    with certificate.open() as file:
        assert file.read() == b"first"
    shown = {"$file": certificate.slot, "filename": "cert.pem", "size": 5}
    same = await lab.save(made, certificate=shown, pages=2)
    assert same.record.settings.files == made.record.settings.files
    for upload in (await lab.uploads.find(None, Query(limit=100))).items:
        await lab.uploads.delete(ADMIN, upload.id)
    assert len(lab.kept()) == 1, "the connection still names it"
    assert await lab.contents.sweep() == 0
    second = await lab.save(same, certificate={"$upload": await lab.upload(b"second")})
    third = await lab.save(second, certificate=None)
    assert printer(third).certificate is None
    for upload in (await lab.uploads.find(None, Query(limit=100))).items:
        await lab.uploads.delete(ADMIN, upload.id)
    assert len(lab.kept()) == 1, "the backup names the second one; the first is gone"
    await lab.stored.delete("office")
    assert lab.kept() == set()


async def test_a_sweep_before_the_load_spares_files_of_settings(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        upload = await lab.upload(b"kept")
        made = await lab.make(certificate={"$upload": upload})
        await lab.uploads.delete(ADMIN, upload)
    again = Lab(tmp_path)
    try:
        assert await again.contents.sweep() == 0
        await again.stored.load()
        certificate = printer(await again.stored.get("office")).certificate
        assert certificate is not None
        with certificate.open() as file:
            assert file.read() == b"kept"
        assert (await again.stored.get("office")).config == made.config
    finally:
        await again.close()


async def test_slots_and_uploads_that_are_not_there_are_refused(lab: Lab) -> None:
    for value in ({"$upload": "file-nothing"}, {"$file": "../../etc/passwd"}, {"$file": "certificate"}):
        with pytest.raises(InvalidRequest) as caught:
            await lab.make(certificate=value)
        assert caught.value.field.startswith("config")
    assert lab.stored.list() == ()
