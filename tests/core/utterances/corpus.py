"""Conversations with the targets of sample configurations: what the user said, and the values that are in it.

A turn that answers a question has beside its text what was asked. The rows from "how warm it gets in Barcelona" on were
written before they were tried, and one in seven failed then.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.targets import Parameter, Target
from promptd.core.utterances import Utterance

TODAY: Final = date(2026, 11, 18)  # a Wednesday


def _target(name: str, description: str, *parameters: Parameter, examples: tuple[str, ...] = ()) -> Target:
    return Target(name, description, examples, parameters)


def _needed(name: str, description: str = "", **more: Any) -> Parameter:
    return Parameter(name=name, description=description, required=True, **more)


def _optional(name: str, description: str = "", **more: Any) -> Parameter:
    return Parameter(name=name, description=description, **more)


TARGETS: Final = {
    one.name: one
    for one in (
        _target(
            "weather",
            "Weather at a place, today and on the days to come",
            _needed("location", "The location to get the weather for", format="City, State"),
            _needed("days", "the number of days for the request"),
            _optional("units", "Units of the temperature", enum=("celsius", "fahrenheit"), default="celsius"),
        ),
        _target(
            "reboot",
            "Reboot a device or a group of devices",
            _needed("device_ids", "A list of device identifiers (IDs) to reboot.", type="list"),
        ),
        _target(
            "statistics",
            "Statistics of network devices",
            _needed("device_ids", "A list of device identifiers (IDs)", type="list"),
            _optional(
                "time_range", "Time range in days for which to gather statistics. Defaults to 7.", type="int", default=7
            ),
        ),
        _target(
            "rate",
            "Exchange rate from US dollars",
            _needed("currency_symbol", "the currency that needs conversion"),
        ),
        _target(
            "convert",
            "Convert an amount of money",
            _needed("amount", "Amount to convert", type="float"),
            _needed("from_currency", "Code of the currency that there is"),
            _needed("to_currency", "Code of the currency that is wanted"),
        ),
        _target("coverage", "What a policy covers", _needed("policy_type", "The type of policy")),
        _target(
            "deductible",
            "Change the deductible of a policy",
            _needed("policy_id", "The id of the policy"),
            _needed("deductible", "The new deductible", type="float"),
        ),
        _target(
            "claim",
            "Update a claim",
            _needed("claim_id", "The id of the claim"),
            _optional("notes", "Notes about the claim"),
        ),
        _target(
            "workforce",
            "Numbers of staff",
            _needed("staffing_type", "Kind of contract", enum=("contract", "fte", "agency")),
            _needed("region", "Part of the world", enum=("asia", "europe", "americas")),
            _optional("snapshot_days_ago", "How many days ago the numbers were taken", type="int"),
        ),
        _target(
            "flight",
            "Book a flight",
            _needed("from_city", "City of departure"),
            _needed("to_city", "City of arrival"),
            _needed("departure_date", "Day of departure", format="YYYY-MM-DD"),
            _optional("return_date", "Day of return", format="YYYY-MM-DD"),
            _optional("passengers", "Number of people", type="int"),
            _optional("cabin_class", "Class", enum=("economy", "business", "first")),
        ),
        _target(
            "meeting",
            "Schedule a meeting",
            _needed("attendee_email", "Whom to invite"),
            _needed("title", "What it is about"),
            _needed("date", "The day", format="DD/MM/YYYY"),
            _needed("time", "When it starts"),
            _optional("duration_minutes", "How long", type="int"),
            _optional("online", "Whether it is online", type="bool"),
        ),
        _target(
            "hotel",
            "Find a hotel room",
            _needed("city", "Where"),
            _needed("check_in", "First date of the stay", format="YYYY-MM-DD"),
            _needed("check_out", "Last date of the stay", format="YYYY-MM-DD"),
            _needed("guests", "number of guests", type="int"),
            _optional("max_price", "highest price of a night", type="float"),
            _optional("breakfast", "Whether breakfast is included", type="bool"),
        ),
        _target(
            "message",
            "Send a message to somebody",
            _needed("recipient", "Who gets it"),
            _needed("message", "The text of the message"),
        ),
        _target(
            "ping",
            "Ping a host",
            _needed("ip_address", "Address of the host"),
            _optional("count", "How many times", type="int"),
        ),
        _target("stock", "Price of a stock", _needed("symbol", "Ticker symbol of the stock")),
        _target(
            "pizza",
            "Order a pizza",
            _needed("size", "How big", enum=("small", "medium", "large")),
            _needed("toppings", "What is on it", type="list"),
            _optional("quantity", "How many", type="int"),
        ),
        _target(
            "insure",
            "Start a policy",
            _needed("policy_type", "The type of the policy: auto, boat, house or motorcycle"),
            _needed("start_date", "First day"),
        ),
        _target("find", "Search the handbook", _needed("query", "What to look for")),
    )
}


class Row(Struct, frozen=True):
    """What was said about a target, and the values that are in it."""

    target: str
    said: tuple[str | Utterance, ...]
    values: dict[str, Any]

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        return tuple([Utterance(one) if isinstance(one, str) else one for one in self.said])


ROWS: Final = tuple(
    msgspec.json.decode(line, type=Row)
    for line in Path(__file__).with_name("conversations.jsonl").read_bytes().splitlines()
)
