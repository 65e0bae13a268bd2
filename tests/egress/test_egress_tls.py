"""TLS: issuer and name are checked."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from promptd.core.errors import NetworkError
from promptd.core.ports import HttpClient
from promptd.egress import Egress
from promptd.testing.sockets import Reader, Writer, head_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: a\r\nx-one: b\r\n\r\nok"


async def get(egress: HttpClient, url: str, **options: object) -> bytes:
    async with egress.request("GET", url, **options) as response:  # type: ignore[arg-type]
        return await response.read()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate for `secure.test` in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "secure.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("secure.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("host", "trusted", "fits"),
    [("secure.test", True, True), ("other.test", True, False), ("secure.test", False, False)],
)
async def test_tls_checks_issuer_and_name(certificate: Path, host: str, trusted: bool, fits: bool) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    trust = ssl.create_default_context()
    if trusted:
        trust.load_verify_locations(certificate)
    writers: list[Writer] = []

    async def accept(reader: Reader, writer: Writer) -> None:
        writers.append(writer)
        await head_of(reader)
        writer.write(OK)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=served)
    url = f"https://{host}:{server.sockets[0].getsockname()[1]}"
    egress = Egress([url], tls=trust, resolve=resolve)
    if fits:
        assert await get(egress, url) == b"ok"
    else:
        with pytest.raises(NetworkError, match="no trusted connection"):
            await get(egress, url)
    await egress.close()
    server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0)
