"""Keys, permissions, and who may see what."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core import identity
from promptd.core.errors import Forbidden
from promptd.core.model import Caller, Key, Prompt, Request

SECRET = identity.make_key("k1", bytes(range(32)))


def key(*, expires: float | None = None, revoked: float | None = None, admin: bool = False) -> Key:
    return Key(
        id="k1",
        digest=identity.digest(SECRET),
        user="ada",
        name="laptop",
        created=0.0,
        permissions=identity.USER_PERMISSIONS,
        team="blue",
        expires=expires,
        revoked=revoked,
        admin=admin,
    )


PROMPT = Prompt(id="pr_1", model="m", lane="l", user="ada", request=Request(), created=0.0)


@given(st.from_regex(r"[a-z0-9_]{1,30}", fullmatch=True), st.binary(min_size=32, max_size=32))
def test_a_secret_names_its_key_and_holds_all_bits(identifier: str, random: bytes) -> None:
    secret = identity.make_key(identifier, random)
    assert re.fullmatch(r"pk-[a-z0-9_]+-[A-Za-z0-9_-]{43}", secret)
    assert identity.key_id(secret) == identifier
    flipped = bytes([random[0] ^ 1]) + random[1:]
    assert identity.make_key(identifier, flipped) != secret


@pytest.mark.parametrize("text", ["", "pk", "pk-", "pk-x", "sk-x-y", "PK-x-y", "Bearer pk-x-y"])
def test_other_texts_name_no_key(text: str) -> None:
    assert identity.key_id(text) is None


@pytest.mark.parametrize(
    ("held", "now", "good"),
    [
        (key(), 1e12, True),
        (key(expires=100.0), 99.9, True),
        (key(expires=100.0), 100.0, False),
        (key(revoked=1.0), 50.0, False),
    ],
)
def test_a_key_opens_while_it_is_good(held: Key, now: float, good: bool) -> None:
    assert identity.opens(held, SECRET, now) is good
    assert not identity.opens(held, SECRET + "x", now)
    assert not identity.opens(held, "", now)


def test_a_key_never_holds_its_secret() -> None:
    assert SECRET not in repr(key())
    assert SECRET.rsplit("-", 1)[1] not in repr(key())


def test_the_caller_of_a_key() -> None:
    caller = identity.caller_of(key())
    assert (caller.user, caller.key, caller.team, caller.admin) == ("ada", "k1", "blue", False)
    assert caller.permissions == identity.USER_PERMISSIONS


@pytest.mark.parametrize("permission", sorted(identity.ALL_PERMISSIONS))
def test_permissions(permission: str) -> None:
    identity.require(Caller("root", admin=True), permission)
    identity.require(Caller("ada", permissions=frozenset({permission})), permission)
    for caller in (Caller("eve"), Caller("ada", permissions=identity.ALL_PERMISSIONS - {permission})):
        with pytest.raises(Forbidden, match=permission):
            identity.require(caller, permission)


def test_an_ordinary_key_administers_nothing() -> None:
    assert identity.USER_PERMISSIONS < identity.ALL_PERMISSIONS
    assert not {identity.KEY_EDIT, identity.MODEL_EDIT, identity.METRICS_VIEW} & identity.USER_PERMISSIONS


@pytest.mark.parametrize(
    ("caller", "members", "see", "read"),
    [
        (Caller("ada"), (), True, True),
        (Caller("eve"), (), False, False),
        (Caller("eve"), ("ada", "eve"), True, True),
        (Caller("root", admin=True), (), True, False),
        (Caller("root", admin=True), ("root",), True, True),
        (Caller(""), (), False, False),
    ],
)
def test_who_may_see_what(caller: Caller, members: tuple[str, ...], see: bool, read: bool) -> None:
    assert identity.may_see(caller, PROMPT, members) is see
    assert identity.may_read(caller, PROMPT, members) is read


def test_the_catalogue_names_every_permission_of_the_wires() -> None:
    named = {
        *(f"prompt-svc:prompt:{verb}" for verb in ("create", "view", "edit", "delete", "stream")),
        *(f"prompt-svc:{noun}:{verb}" for noun in ("template", "connection") for verb in ("view", "edit")),
        *(
            f"chat-svc:{noun}:{verb}"
            for noun in ("thread", "message")
            for verb in ("create", "view", "edit", "delete", "stream")
        ),
        *(
            f"file-svc:{noun}:{verb}"
            for noun in ("upload", "download")
            for verb in ("create", "view", "edit", "delete")
        ),
        *(
            f"policy-svc:{noun}:{verb}"
            for noun in ("template", "instance")
            for verb in ("view", "create", "edit", "delete")
        ),
        "policy-svc:check:view",
        *(f"model-svc:model:{verb}" for verb in ("create", "view", "edit", "delete", "stream")),
        "model-svc:platform:view",
        "model-svc:platform:edit",
        "user-svc:user:password-change",
        "user-svc:user:password-reset",
        "user-svc:token:revoke",
        "user-svc:permit:view",
    }
    assert named <= identity.ALL_PERMISSIONS
    assert {
        *(f"prompt-svc:prompt:{verb}" for verb in ("create", "view", "edit", "delete", "stream")),
        "prompt-svc:template:view",
        *(f"file-svc:upload:{verb}" for verb in ("create", "view", "delete")),
        "model-svc:model:view",
    } == identity.USER_PERMISSIONS, "what ordinary native keys may do"
