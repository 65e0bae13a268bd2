"""Users of User Svc, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.faces.client import Http, Response
from tests.faces.conftest import Server

HOST = "shop.example"


ZERO = "0001-01-01T00:00:00Z"


TOKEN_MEMBERS = {
    "id",
    "internalId",
    "app",
    "appId",
    "userId",
    "device",
    "token",
    "active",
    "createdAt",
    "updatedAt",
    "expiresAt",
}


def error(response: Response, status: int, text: str | None = None) -> None:
    """The exact form of a refusal on this wire."""
    assert response.status == status, response.body
    assert set(response.json) == {"error"}
    assert response.body.startswith(b'{"error": "')
    if text is not None:
        assert response.json["error"] == text


def done(response: Response) -> Any:
    assert response.status == 200, response.body
    assert response.headers["content-type"] == "application/json"
    return response.json


class Account(Http):
    """A client with the token of a new user."""

    token: Any
    slug: str


async def register(server: Server, slug: str, **more: Any) -> Account:
    wish = {"appHost": HOST, "slug": slug, "password": "secret"} | more
    token = done(await server.http.of(None).post("/user-svc/register", wish))["token"]
    account = Account(server.port, token["token"])
    account.token, account.slug = token, slug
    return account


async def login(server: Server, slug: str, password: str = "secret", **more: Any) -> Any:
    wish = {"appHost": HOST, "slug": slug, "password": password} | more
    return done(await server.http.of(None).post("/user-svc/login", wish))["token"]
