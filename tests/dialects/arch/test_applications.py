"""Prompt targets from the routes of an application's source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import SettingsError
from promptd.dialects.arch.applications import targets_of
from tests.dialects.arch.files import old, read

FASTAPI = '''
from typing import Annotated, Literal, Optional
from fastapi import FastAPI, Depends, Query, Request
from pydantic import BaseModel, Field

app = FastAPI()

class Claim(BaseModel):
    """A claim.

    Args:
        policy: number of the policy
    """
    policy: int
    kind: Literal["fire", "water"] = "water"
    notes: list[str] = Field(default_factory=list, description="what else there is to say")
    phone: Optional[str] = None

@app.post("/claims")
async def open_claim(claim: Claim, request: Request, user=Depends(lambda: None)):
    """Open a claim
    for a policy.

    Not part of the description.
    """

@app.get("/rates/{currency}")
def rate(currency: str, days: int = Query(3, description="how many days"), exact: bool | None = None):
    """What a currency is worth.

    :param currency: its code
    :param int days: never shown
    """

@app.delete("/claims/{number}")
def withdraw(number: int): ...

def helper(): ...
'''
FLASK = """
from flask import Flask
app = Flask(__name__)

@app.route("/devices/<int:device>/reboot", methods=["POST"])
def reboot(device):
    pass

@app.route("/devices")
def devices(): "All devices."
"""


@pytest.mark.arch("8.targets")
def test_routes_of_fastapi() -> None:
    found = targets_of(FASTAPI, name="main.py", endpoint="claims")
    assert found == [
        {
            "name": "open_claim",
            "description": "Open a claim for a policy.",
            "endpoint": {"name": "claims", "path": "/claims", "http_method": "POST"},
            "parameters": [
                {"name": "policy", "description": "number of the policy", "type": "int", "required": True},
                {
                    "name": "kind",
                    "description": "kind",
                    "type": "str",
                    "required": False,
                    "enum": ["fire", "water"],
                    "default": "water",
                },
                {"name": "notes", "description": "what else there is to say", "type": "list", "required": False},
                {"name": "phone", "description": "phone", "type": "str", "required": False},
            ],
        },
        {
            "name": "rate",
            "description": "What a currency is worth.",
            "endpoint": {"name": "claims", "path": "/rates/{currency}", "http_method": "GET"},
            "parameters": [
                {"name": "currency", "description": "its code", "type": "str", "required": True, "in_path": True},
                {"name": "days", "description": "how many days", "type": "int", "required": False, "default": 3},
                {"name": "exact", "description": "exact", "type": "bool", "required": False},
            ],
        },
    ]


@pytest.mark.arch("8.targets")
def test_routes_of_flask() -> None:
    assert targets_of(FLASK, name="main.py", endpoint="api") == [
        {
            "name": "reboot",
            "description": "reboot",
            "endpoint": {"name": "api", "path": "/devices/{device}/reboot", "http_method": "POST"},
            "parameters": [
                {"name": "device", "description": "device", "type": "int", "required": True, "in_path": True}
            ],
        },
        {
            "name": "devices",
            "description": "All devices.",
            "endpoint": {"name": "api", "path": "/devices", "http_method": "GET"},
        },
    ]


def test_what_is_made_can_be_read() -> None:
    for source in (FASTAPI, FLASK):
        found = targets_of(source, name="main.py", endpoint="api")
        config = read(old(endpoints={"api": {"endpoint": "h"}}, prompt_targets=found))
        assert config.warnings == ()
        assert [one.method for one in config.targets] == [one["endpoint"]["http_method"] for one in found]


def test_what_is_no_python_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^main\.py, line 2: "):
        targets_of("x = 1\ndef (", name="main.py", endpoint="api")
    deep = "@app.get('/a')\ndef f(a: " + "X | " * 20_000 + "Y): pass"
    for source in ("\x00", "-" * 100_000 + "1", "(" * 100_000, deep):
        with pytest.raises(SettingsError, match=r"^main\.py"):
            targets_of(source, name="main.py", endpoint="api")


PIECES = [
    "@app.get('/a')\n",
    "@app.route(1)\n",
    "@x\n",
    "def f(",
    "a: int",
    "=Query(",
    ", *, b: X | None",
    "=3",
    "):\n",
    " 'doc'\n",
]
PIECES += [
    "class A:\n",
    " x: int = 1\n",
    "@app.route('/<int:', methods=[*x])\n",
    "b: Optional[",
    "]",
    "Literal[()]",
    " pass\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40))
def test_any_source(source: str) -> None:
    try:
        found = targets_of(source, name="f", endpoint="api")
    except SettingsError:
        return
    assert all(one["name"] for one in found)
