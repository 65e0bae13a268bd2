"""The detector of personal data: the exam, what is found as which category, what is not, and how it is replaced."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.errors import SettingsError
from promptd.core.guarding import Redactor
from promptd.core.ports import Guard
from promptd.guards.pii import PII, PIIConfig
from promptd.testing.guards import GuardContract

GUARD = PII()


class TestEmail(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return PII()

    @pytest.fixture
    def forbidden(self) -> str:
        return "jane.doe@example.org"


class TestCard(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return PII(PIIConfig(categories=("card",)))

    @pytest.fixture
    def forbidden(self) -> str:
        return "4111 1111 1111 1111"


def found(text: str, guard: PII = GUARD) -> list[tuple[str, str]]:
    return [(one.category, text[one.start : one.end]) for one in guard.find(text)]


@pytest.mark.parametrize(
    ("category", "value"),
    [
        ("card", "4111111111111111"),
        ("card", "4111-1111-1111-1111"),
        ("card", "5500 0055 5555 5559"),
        ("card", "3782 822463 10005"),
        ("card", "378282246310005"),
        ("card", "2223003122003222"),
        ("card", "6011111111111117"),
        ("card", "3530111333300000"),
        ("card", "30569309025904"),
        ("card", "6200000000000005"),
        ("card", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
        ("card", "４１１１ １１１１ １１１１ １１１１"),
        ("card", "٤١١١١١١١١١١١١١١١"),
        ("card", "4111\u20111111\u20111111\u20111111"),
        ("card", "41\u200b11\u200d 1111 1111\u00a01111"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "de89370400440532013000"),
        ("iban", "GB82 WEST 1234 5698 7654 32"),
        ("iban", "NL91ABNA0417164300"),
        ("iban", "FR14 2004 1010 0505 0001 3M02 606"),
        ("iban", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
        ("iban", "NO93 8601 1117 947"),
        ("email", "jane.doe+news@mail.example.co.uk"),
        ("email", "o'brien@example.ie"),
        ("email", "jane@bücher.example"),
        ("email", "jane (at) example (dot) org"),
        ("email", "jane [at] example.org"),
        ("email", "JANE@EXAMPLE.ORG"),
        ("ip", "93.184.216.34"),
        ("ip", "192.168.1.20"),
        ("ip", "2001:db8::ff00:42:8329"),
        ("ip", "2001:0db8:0000:0000:0000:ff00:0042:8329"),
        ("phone", "+49 89 1234567"),
        ("phone", "+1 (415) 555-2671"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+33612345678"),
        ("phone", "0049 30 12345678"),
        ("phone", "(415) 555-0132"),
        ("phone", "415-555-2671"),
        ("phone", "415.555.2671"),
        ("phone", "1-212-555-0123"),
        ("phone", "555-123-4567"),
        ("phone", "(555) 123-4567"),
        ("phone", "+1 555 123 4567"),
        ("phone", "+1-555-123-4567"),
        ("phone", "+44 20 1234 5678"),
        ("phone", "030 12345678"),
        ("phone", "0171/1234567"),
        ("phone", "020 7946 0958"),
        ("national_id", "078-05-1120"),
        ("national_id", "12345678Z"),
        ("national_id", "X1234567L"),
        ("national_id", "1 84 12 76 451 089 46"),
        ("national_id", "65 929 970 489"),
        ("national_id", "RSSMRA85T10A562S"),
        ("national_id", "811228-9874"),
        ("national_id", "131052-308T"),
        ("national_id", "756.9217.0769.85"),
        ("national_id", "529.982.247-25"),
        ("national_id", "12.345.678-5"),
        ("national_id", "20-12345678-6"),
        ("national_id", "2345 6789 0124"),
        ("national_id", "11010519491231002X"),
        ("national_id", "HEGG560427MVZRRL04"),
        ("national_id", "85.07.30-033.28"),
        ("national_id", "AB 12 34 56 C"),
    ],
)
def test_what_is_found(category: str, value: str) -> None:
    for text in (value, f"It is {value}.", f"({value}), she wrote", f"eins\n{value}\nzwei", f"é {value}: ok"):
        assert found(text) == [(category, value)], text


@pytest.mark.parametrize(
    ("category", "before", "value"),
    [
        ("phone", "Phone: ", "4155552671"),
        ("phone", "call me on ", "07911123456"),
        ("phone", "WhatsApp ", "01711234567"),
        ("card", "Visa card ", "4222222222222"),
        ("national_id", "SSN ", "078 05 1120"),
        ("national_id", "Steuer-ID: ", "86095742719"),
        ("national_id", "BSN ", "111222333"),
        ("national_id", "PESEL ", "44051401359"),
        ("national_id", "NHS number ", "943 476 5919"),
        ("national_id", "CPF ", "52998224725"),
        ("national_id", "social insurance number ", "046 454 286"),
        ("national_id", "TFN ", "123 456 782"),
        ("national_id", "aadhaar ", "234567890124"),
        ("national_id", "PAN ", "ABCPE1234F"),
        ("national_id", "SVNR ", "1237 010180"),
        ("national_id", "TC kimlik no ", "10000000146"),
        ("national_id", "identity number ", "8001015009087"),
        ("national_id", "My Number ", "1234 5678 9018"),
        ("national_id", "NINO ", "AB123456C"),
    ],
)
def test_what_is_found_behind_its_name(category: str, before: str, value: str) -> None:
    assert found(f"{before}{value}.") == [(category, value)]
    assert ("national_id", value) not in found(f"Order {value}.")
    assert category == "national_id" or found(f"Order {value}.") == []


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # wrong check digit
        "1111 1111 1111 1111",  # no issuer
        "order-4111111111111111",
        "a4111111111111111",
        "4111111111111111_x",
        "4006381333931",  # goods
        "978-3-16-148410-0",  # a book
        "1700000000000",
        "1700000000",
        "2024-01-02T10:00:00.123456Z",
        "01.02.2024 12:30",
        "01/02/2024",
        "2024-01-02 10:00:00",
        "123e4567-e89b-12d3-a456-426614174000",
        "12345678-1234-1234-1234-123456789012",
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "3.14159265358979323846",
        "1,234,567,890",
        "1 234 567 890",
        "+1-800-FLOWERS",
        "version 1.2.3.4",
        "v10.20.30.40",
        "127.0.0.1 and 0.0.0.0 and ::1 and 255.255.255.0",
        "300.1.2.3",
        "1.2.3.4.5",
        "12:34:56",
        "std::vector<int> and a::b::c and Foo::Bar",
        "git@github.com:owner/name.git",
        "icon@2x.png",
        "@app.get('/x') def f(): ...",
        "user@localhost",
        "Look [at] the end.of it",
        "meet me @ noon.sharp",
        "DE89 3704 0044 0532 0130 01",
        "XX89 3704 0044 0532 0130 00",
        "000-12-3456, 666-12-3456 and 123-00-4567",
        "12345678A",
        "Rechnung 2024-000123, Kunde 00123456789",
        "Pages 100-200 and 300-400, lines 1000-2000",
        "ISO 8601, RFC 9110, 10/12, 50-60 %",
        "x = 0123456789abcdef",
        "+++ 12 34 +++",
        "+100 200 300 points, +5 -3 +12",
        "a+1234567890",
        "0815",
    ],
)
def test_what_is_not_found(text: str) -> None:
    assert found(text) == []
    assert found(f"See {text} there.") == []


@given(st.integers(0, 10**18), st.sampled_from(["order {}", "id={}", "#{}", "{}", "ref {} ok"]))
def test_numbers_are_rarely_taken_for_a_person(number: int, form: str) -> None:
    """Only one with an issuer's digits and the right check digit can be a card; no other bare number counts."""
    assert {category for category, _ in found(form.format(number))} <= {"card", "national_id"}


def test_of_bare_numbers_few_are_found() -> None:
    source = random.Random(7)
    numbers = [str(source.randrange(10 ** source.randrange(8, 20))) for _ in range(2000)]
    assert sum(bool(found(number)) for number in numbers) / len(numbers) < 0.01


@given(st.text(max_size=300))
def test_any_text_can_be_looked_at(text: str) -> None:
    ends = 0
    for one in GUARD.find(text):
        assert ends <= one.start < one.end <= len(text)
        ends = one.end
    assert (GUARD.redact(text).text == text) == (not GUARD.find(text))


@given(st.text("0123456789 -.+()/@:aD\u200b１é", max_size=120))
def test_texts_of_numbers_and_signs_can_be_looked_at(text: str) -> None:
    redacted = GUARD.redact(text)
    assert sum(redacted.found.values()) == len(GUARD.find(text))


def test_findings_are_replaced_by_their_category() -> None:
    redacted = GUARD.redact("Mail ann@example.org or bob@example.org, card 4111 1111 1111 1111; thanks.")
    assert redacted.text == "Mail [EMAIL] or [EMAIL], card [CARD]; thanks."
    assert redacted.found == {"email": 2, "card": 1}
    assert isinstance(GUARD, Redactor)


def test_the_placeholder_can_be_chosen() -> None:
    guard = PII(PIIConfig(placeholder="<{category}>"))
    assert guard.redact("ann@example.org").text == "<EMAIL>"


def test_what_was_replaced_is_not_found_again() -> None:
    text = "ann@example.org, +49 89 1234567, DE89 3704 0044 0532 0130 00, 93.184.216.34, 078-05-1120"
    once = GUARD.redact(text)
    assert len(once.found) == 5
    assert GUARD.redact(once.text) == type(once)(once.text)


async def test_the_reason_names_all_categories_and_no_value() -> None:
    verdict = await GUARD.inspect([Turn("user", "ann@example.org"), Turn("tool", "4111111111111111")])
    assert verdict.reason == "pii: card, email"
    assert verdict.categories == {"card": 1.0, "email": 1.0}


def test_only_the_chosen_categories_are_looked_for() -> None:
    guard = PII(PIIConfig(categories=("email",)))
    assert found("ann@example.org 4111111111111111", guard) == [("email", "ann@example.org")]


def test_numbers_of_a_region_are_known_where_it_is_chosen() -> None:
    french = PII(PIIConfig(categories=("phone",), regions=("fr",)))
    assert found("06 12 34 56 78", french) == [("phone", "06 12 34 56 78")]
    assert found("06 12 34 56 78", PII(PIIConfig(regions=("US",)))) == []
    assert found("415-555-2671", french) == []


def test_ids_of_chosen_countries_alone() -> None:
    assert found("078-05-1120 12345678Z", PII(PIIConfig(countries=("es",)))) == [("national_id", "12345678Z")]


def test_values_can_be_let_through() -> None:
    guard = PII(PIIConfig(allow=("Support@Example.org", "*@example.com")))
    assert found("support@example.org, any@example.com, ann@example.org", guard) == [("email", "ann@example.org")]


def test_two_numbers_beside_each_other_are_two() -> None:
    assert [value for _, value in found("415-555-2671 212-555-1234")] == ["415-555-2671", "212-555-1234"]
    assert found("4111 1111 1111 1111 123") == [("card", "4111 1111 1111 1111")]


@pytest.mark.parametrize(
    ("config", "key"), [(PIIConfig(regions=("XX",)), "regions[0]"), (PIIConfig(countries=("US", "XX")), "countries[1]")]
)
def test_settings_that_can_not_be_enforced(config: PIIConfig, key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        PII(config)
    assert refused.value.key == key


@pytest.mark.parametrize(
    "values", [{"categories": []}, {"categories": ["shoe_size"]}, {"allow": ["*"]}, {"allow": [" "]}]
)
def test_settings_of_the_wrong_form(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="PIIConfig"):
        PIIConfig.model_validate(values)


@pytest.mark.parametrize(
    "text", ["1" * 200_000, "12 34 " * 30_000, "1.1.1.1." * 20_000, "a@" * 100_000, "1:" * 100_000, "+49 89 123 " * 15_000, "a" * 200_000 + "@"],
    ids=["digits", "groups", "dots", "ats", "colons", "halves of numbers", "one word"],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_no_text_takes_quadratic_time(text: str) -> None:
    GUARD.find(text)
