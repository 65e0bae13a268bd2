"""Where egress lets a call go."""

import pytest

from promptd.core.errors import InvalidInput, PermissionDenied
from promptd.egress import Egress
from promptd.egress.policy import Origin, check_public, is_public, parse


@pytest.mark.parametrize(
    ("url", "origin", "rest"),
    [
        ("http://Example.COM", Origin("http", "example.com", 80), "/"),
        ("https://example.com./a/b?c=d#e", Origin("https", "example.com", 443), "/a/b?c=d"),
        ("http://127.0.0.1:8080/v1", Origin("http", "127.0.0.1", 8080), "/v1"),
        ("http://[::1]:8080/", Origin("http", "::1", 8080), "/"),
    ],
)
def test_an_address_is_taken_apart(url: str, origin: Origin, rest: str) -> None:
    assert parse(url) == (origin, rest)


def test_the_host_header_leaves_out_the_usual_port() -> None:
    assert parse("https://example.com:443/")[0].authority == "example.com"
    assert parse("http://[::1]:8080/")[0].authority == "[::1]:8080"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:word@example.com/",
        "http://allowed@example.com/",
        "http://example.com/a b",
        "http://example.com/\r\nx: y",
        "http://exämple.com/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://exa%6dple.com/",
        "http://a\\b/",
        "http://[::1/",
    ],
)
def test_an_odd_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^url: "):
        parse(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.251",
        "239.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "2606:4700:4700::1111"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


def test_one_inner_address_among_public_ones_is_enough_to_refuse() -> None:
    check_public("host.test", ["8.8.8.8", "1.1.1.1"])
    with pytest.raises(PermissionDenied) as raised:
        check_public("host.test", ["8.8.8.8", "10.0.0.1"])
    assert "10.0.0.1" not in raised.value.message


async def call(egress: Egress, url: str) -> int:
    async with egress.request("GET", url) as response:
        return response.status


async def test_an_origin_that_nobody_named_is_refused_before_any_look_up() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError("looked up")

    egress = Egress(["http://allowed.test"], resolve=resolve)
    for url in ("http://other.test/", "https://allowed.test/", "http://allowed.test:81/", "http://127.0.0.1/"):
        with pytest.raises(PermissionDenied):
            await call(egress, url)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_with_public_the_system_resolver_finds_loopback_out(host: str) -> None:
    with pytest.raises(PermissionDenied):
        await call(Egress(public=True), f"http://{host}/")
