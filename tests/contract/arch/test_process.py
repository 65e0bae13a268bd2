"""The process that serves an Arch file: its ports, what it says at the start, and its end."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.arch.conftest import Process
from tests.contract.gateway.hosts import Hosts

pytestmark = pytest.mark.e2e

FILE = """
version: v0.4.0
listeners:
  - {{type: model, name: llm, port: {port}, address: {address}}}
model_providers:
  - {{model: openai/script, access_key: $KEY, base_url: {origin}, default: true}}
"""


def test_a_port_in_use_is_one_clear_line(hosts: Hosts, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = FILE.format(port=port, address="127.0.0.1", origin=hosts.whole.origin)
        process = Process(tmp_path, text, 1)
        assert process.stop() == 1
    said = [line for line in process.log if f"can't listen on 127.0.0.1:{port}" in line]
    assert len(said) == 1
    assert "listeners.llm.port" in said[0]
    assert not any("Traceback" in line for line in process.log)


@pytest.mark.arch("2.ports", "2.healthz")
def test_an_open_listener_is_warned_about_and_drained(hosts: Hosts, tmp_path: Path) -> None:
    text = FILE.format(port=0, address="0.0.0.0", origin=hosts.whole.origin)
    process = Process(tmp_path, text, 1)
    assert any("WARNING" in line and "the listener llm asks nobody for a key" in line for line in process.log)
    port = process.listeners["llm"].rpartition(":")[2]
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(timeout=30, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
        assert client.get(f"{url}/healthz").content == b""
        body = {"messages": [{"role": "user", "content": "/hold drained\na b c d"}], "stream": True}
        with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            hosts.holding("drained")
            process.process.terminate()
            hosts.release("drained")
            assert answer.read().endswith(b"data: [DONE]\n\n")
    assert process.stop() == 0
    lines = (tmp_path / "data" / "logs" / "access_llm.log").read_text().splitlines()
    assert [line.split('"')[1] for line in lines] == ["GET /healthz HTTP/1.1", "POST /v1/chat/completions HTTP/1.1"]


def certificate(folder: Path) -> None:
    """`cert.pem` and `key.pem` for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


TLS = """
version: v0.3.0
listeners:
  egress_traffic:
    address: 127.0.0.1
    port: 0
    common_tls_context:
      tls_certificates: [{{certificate_chain: {{filename: cert.pem}}, private_key: {{filename: key.pem}}}}]
llm_providers:
  - {{model: openai/script, access_key: $KEY, base_url: {origin}, default: true}}
"""


def test_a_listener_with_a_certificate(hosts: Hosts, tmp_path: Path) -> None:
    certificate(tmp_path)
    process = Process(tmp_path, TLS.format(origin=hosts.whole.origin), 1)
    try:
        assert process.listeners["egress_traffic"].startswith("https://"), process.log
        trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        answer = httpx.get(f"{process.listeners['egress_traffic']}/healthz", verify=trusted, timeout=30)
        assert answer.status_code == 200
    finally:
        assert process.stop() == 0


def test_a_certificate_that_is_none_ends_the_start(hosts: Hosts, tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "cert.pem").write_text("no certificate")
    process = Process(tmp_path, TLS.format(origin=hosts.whole.origin), 1)
    assert process.process.wait(40) == 1
    process.stop()
    assert [line for line in process.log if "listeners.egress_traffic.common_tls_context" in line]
    assert not [line for line in process.log if "Traceback" in line]
