"""Tokens: what a signature vouches for, and the key file."""

from __future__ import annotations

import asyncio
import json
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import ConfigUnusable, Unauthenticated
from promptd.core.people import Claims
from promptd.vault.signing import RsaSigner

CLAIMS = Claims(
    session="tok_1",
    user="usr_1",
    app="app_1",
    slug="ada",
    roles=("user-svc:user",),
    device="cli",
    issued=1_900_000_000,
    expires=1_900_000_300,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signing") / "deeper" / "token.key"


@pytest.fixture
def signer(path: Path) -> RsaSigner:
    return RsaSigner(path, bits=2048)


async def test_a_token_says_what_was_signed_under_the_names_that_clients_read(signer: RsaSigner) -> None:
    token = await signer.sign(CLAIMS)
    assert await signer.verify(token) == CLAIMS
    header, payload, _ = token.split(".")
    assert json.loads(unpadded(header)) == {"alg": "RS256", "typ": "JWT"}
    assert json.loads(unpadded(payload)) == {
        "jti": "tok_1",
        "1ui": "usr_1",
        "1ai": "app_1",
        "1sl": "ada",
        "1ro": ["user-svc:user"],
        "1de": "cli",
        "iat": 1_900_000_000,
        "exp": 1_900_000_300,
    }


async def test_anybody_can_check_a_token_with_the_public_key(signer: RsaSigner) -> None:
    pem = await signer.public_key()
    assert pem.startswith("-----BEGIN PUBLIC KEY-----\n")
    read = jwt.decode(await signer.sign(CLAIMS), pem, algorithms=["RS256"], options={"verify_iat": False})
    assert read["1ui"] == "usr_1"


async def test_another_process_reads_what_this_one_signed(signer: RsaSigner, path: Path) -> None:
    token = await signer.sign(CLAIMS)
    other = RsaSigner(path)
    assert await other.verify(token) == CLAIMS
    assert await other.public_key() == await signer.public_key()


async def test_a_strangers_token_is_refused(signer: RsaSigner, tmp_path: Path) -> None:
    stranger = RsaSigner(tmp_path / "token.key", bits=2048)
    with pytest.raises(Unauthenticated):
        await signer.verify(await stranger.sign(CLAIMS))


async def test_no_part_of_a_token_can_be_changed(signer: RsaSigner) -> None:
    token = await signer.sign(CLAIMS)
    header, payload, signature = token.split(".")
    forged = padded(json.dumps(json.loads(unpadded(payload)) | {"1ui": "admin"}).encode())
    none = padded(b'{"alg":"none","typ":"JWT"}')
    hmac = jwt.encode({"jti": "tok_1"}, "x" * 32, "HS256").split(".")[0]
    for wrong in (
        f"{header}.{forged}.{signature}",
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{hmac}.{payload}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{signature}.{signature}",
        f" {token}",
        token.upper(),
    ):
        with pytest.raises(Unauthenticated):
            await signer.verify(wrong)


async def test_the_public_key_is_no_secret_to_sign_with(signer: RsaSigner) -> None:
    """The old trick: HS256 with the PEM of the public key as its key."""
    import hashlib
    import hmac

    head, body = padded(b'{"alg":"HS256","typ":"JWT"}'), (await signer.sign(CLAIMS)).split(".")[1]
    mac = hmac.new((await signer.public_key()).encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    with pytest.raises(Unauthenticated):
        await signer.verify(f"{head}.{body}.{padded(mac)}")


@pytest.mark.parametrize(
    "changes", [{"jti": None}, {"1ui": 5}, {"exp": "soon"}, {"1ro": "user-svc:user"}, {"iat": None}, {"exp": 1e300}]
)
async def test_our_own_signature_under_other_claims_is_refused_too(
    signer: RsaSigner, path: Path, changes: dict[str, Any]
) -> None:
    payload = json.loads(unpadded((await signer.sign(CLAIMS)).split(".")[1])) | changes
    token = jwt.encode({name: value for name, value in payload.items() if value is not None}, path.read_text(), "RS256")
    with pytest.raises(Unauthenticated):
        await signer.verify(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "ü.ü.ü",
        "x" * 100_000,
        "." * 16_000,
        "e30.e30.e30",
        "bnVsbA.bnVsbA.",
        "\ud800.\ud800.\ud800",
    ],
)
async def test_rubbish_is_refused(signer: RsaSigner, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await signer.verify(token)


@pytest.mark.parametrize(
    "header", [b"[" * 5000, b'{"a":' * 2000, b"[]", b'"x"', b'{"alg":5}', b'{"alg":"RS256","crit":["x"]}']
)
async def test_a_header_may_be_any_json(signer: RsaSigner, header: bytes) -> None:
    token = await signer.sign(CLAIMS)
    with pytest.raises(Unauthenticated):
        await signer.verify(f"{padded(header)}.{token.split('.', 1)[1]}")


@given(st.text(max_size=300))
def test_any_text_is_refused_and_never_breaks(path: Path, text: str) -> None:
    async def check() -> None:
        with pytest.raises(Unauthenticated):
            await RsaSigner(path, bits=2048).verify(text)

    asyncio.run(check())


# ------------------------------------------------------------------ the key file


async def test_the_key_is_private_and_stays(signer: RsaSigner, path: Path) -> None:
    await signer.prepare()
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content.startswith(b"-----BEGIN PRIVATE KEY-----")
    await RsaSigner(path).prepare()
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["token.key"], "no draft is left"


async def test_a_key_is_made_once_however_many_ask_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token.key"
    one, two = RsaSigner(path, bits=2048), RsaSigner(path, bits=2048)
    keys = await asyncio.gather(*[signer.public_key() for signer in (one, two) for _ in range(5)])
    assert len(set(keys)) == 1


async def test_by_default_the_key_has_4096_bits_and_the_loop_turns_while_it_is_made(tmp_path: Path) -> None:
    signer = RsaSigner(tmp_path / "token.key")
    task = asyncio.create_task(signer.prepare())
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 100
    key = load_pem_public_key((await signer.public_key()).encode())
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 4096
    assert len(unpadded((await signer.sign(CLAIMS)).split(".")[2])) == 512


def elliptic() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"", 0o600, "damaged"),
        (b"\xff\x00", 0o600, "damaged"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600, "damaged"),
        (elliptic(), 0o600, "not an RSA key"),
        (b"anything", 0o640, "chmod 600"),
    ],
)
async def test_a_key_file_that_is_not_to_be_trusted_stops_it_and_stays(
    tmp_path: Path, content: bytes, mode: int, words: str
) -> None:
    path = tmp_path / "token.key"
    path.write_bytes(content)
    path.chmod(mode)
    for _ in range(2):
        with pytest.raises(ConfigUnusable, match=words) as caught:
            await RsaSigner(path).prepare()
        assert "PRIVATE" not in f"{caught.value.message}{caught.value.detail}"
        assert str(tmp_path) not in caught.value.message, "callers may read it"
    assert path.read_bytes() == content


async def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigUnusable, match="can't be used"):
        await RsaSigner(tmp_path / "file" / "token.key", bits=2048).prepare()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigUnusable, match="can't be used"):
        await RsaSigner(tmp_path / "folder", bits=2048).prepare()


async def test_nothing_of_the_key_shows_in_what_is_printed(signer: RsaSigner, path: Path) -> None:
    await signer.prepare()
    assert "PRIVATE" not in f"{signer!r}{vars(signer)!r}"


def unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def padded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")
