"""The detector of keys and passwords: the exam, what is found, what is not, and how it is replaced."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.errors import SettingsError
from promptd.core.guarding import Redactor
from promptd.core.ports import Guard
from promptd.guards.secrets import CATEGORIES, Secrets, SecretsConfig
from promptd.testing.guards import GuardContract

GUARD = Secrets()
_LETTERS = string.ascii_letters + string.digits


def signs(count: int, alphabet: str = _LETTERS, seed: int = 1) -> str:
    """The same each time. No key in these tests was ever given out."""
    source = random.Random(seed)
    return "".join(source.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
GITHUB = "ghp_" + signs(36)
PEM = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED", ""]
    + [signs(64, seed=line) for line in range(12)]
    + [signs(20) + "==", "-----END RSA PRIVATE KEY-----"]
)


class TestSecrets(GuardContract):
    @pytest.fixture
    def guard(self) -> Guard:
        return Secrets()

    @pytest.fixture
    def forbidden(self) -> str:
        return GITHUB


def found(text: str, guard: Secrets = GUARD) -> list[tuple[str, str]]:
    return [(one.category, text[one.start : one.end]) for one in guard.find(text)]


@pytest.mark.parametrize(
    ("category", "value"),
    [
        ("aws", "AKIA" + signs(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
        ("aws", "AKIAIOSFODNN7EXAMPLE"),
        ("github", GITHUB),
        ("github", "github_pat_" + signs(22) + "_" + signs(59)),
        ("gitlab", "glpat-" + signs(20)),
        ("slack", "xoxb-" + signs(12, string.digits) + "-" + signs(12, string.digits) + "-" + signs(24)),
        ("slack", "https://hooks.slack.com/services/T" + signs(8) + "/B" + signs(8) + "/" + signs(24)),
        ("openai", "sk-proj-" + signs(48)),
        ("openai", "sk-" + signs(48)),
        ("anthropic", "sk-ant-api03-" + signs(93)),
        ("google", "AIza" + signs(35)),
        ("google", "GOCSPX-" + signs(28)),
        ("stripe", "sk_live_" + signs(24)),
        ("stripe", "rk_test_" + signs(24)),
        ("huggingface", "hf_" + signs(34, string.ascii_letters)),
        ("sendgrid", "SG." + signs(22) + "." + signs(43)),
        ("npm", "npm_" + signs(36)),
        ("pypi", "pypi-AgE" + signs(80)),
        ("groq", "gsk_" + signs(52)),
        ("databricks", "dapi" + signs(32, HEX)),
        ("telegram", signs(9, "123456789") + ":AA" + signs(33)),
        ("jwt", "eyJ" + signs(33) + ".eyJ" + signs(90) + "." + signs(43)),
        ("private_key", PEM),
        ("private_key", PEM.replace("\n", "\\n")),
    ],
)
def test_keys_with_a_mark_are_found(category: str, value: str) -> None:
    for text in (value, f"My key is {value} and", f"key={value}", f'{{"key": "{value}"}}', f"(é) `{value}`"):
        assert found(text) == [(category, value)], text


@pytest.mark.parametrize(
    ("category", "text", "value"),
    [
        ("aws", "aws_secret_access_key = {}", signs(40, _LETTERS + "/+")),
        ("connection_string", "postgres://bob:{}@db.example.org:5432/shop", "s3cr3tpw"),
        ("connection_string", "redis://:{}@cache.example.org", "hunter-22"),
        ("connection_string", "Server=db;User Id=sa;Password={};", "Abc-12345"),
        ("azure", "AccountName=x;AccountKey={};EndpointSuffix=core", signs(86) + "=="),
        ("authorization", "curl -H 'Authorization: Bearer {}'", signs(30)),
        ("authorization", "x-api-key: {}", signs(30)),
        ("password", 'password = "{}"', "abcdefgh"),
        ("password", "My password is {}", "Tr0ub4dor&3"),
        ("password", "passwort: {}", "Sommer2024!"),
        ("assignment", "API_KEY={}", signs(32)),
        ("assignment", '"client_secret": "{}"', signs(32)),
    ],
)
def test_secrets_are_found_by_their_place(category: str, text: str, value: str) -> None:
    assert found(text.format(value)) == [(category, value)]


@pytest.mark.parametrize(
    "text",
    [
        "The password is wrong and I forgot it",
        "Please reset my password: I can't log in",
        "password: ********",
        "password=${DB_PASSWORD}",
        "password: <your password>",
        "api_key=YOUR_API_KEY_HERE_PLEASE",
        "api_key: xxxxxxxxxxxxxxxxxxxxxxxx",
        "OPENAI_API_KEY=sk-...",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "token = response.json()['access_token']",
        "max_tokens=4096, tokenizer: cl100k_base_encoding",
        "secret: santa party on friday 2024",
        "the token is the_quick_brown_fox_jumps",
        "postgres://bob:${PW}@db/x and https://example.org:8080/a@b",
        "git sha 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "sk-learn is a nice-library",
        "data:image/png;base64," + signs(400),
        "-----BEGIN PUBLIC KEY-----\n" + signs(64) + "\n-----END PUBLIC KEY-----",
        "AKIA is a prefix",
    ],
)
def test_what_is_not_found(text: str) -> None:
    assert found(text) == []


def test_secrets_are_replaced_and_nothing_else() -> None:
    redacted = GUARD.redact(f"Use {GITHUB} at postgres://bob:s3cr3tpw@db.example.org/shop, or\n{PEM}\nThanks.")
    assert (
        redacted.text
        == "Use [GITHUB] at postgres://bob:[CONNECTION_STRING]@db.example.org/shop, or\n[PRIVATE_KEY]\nThanks."
    )
    assert redacted.found == {"github": 1, "connection_string": 1, "private_key": 1}
    assert isinstance(GUARD, Redactor)
    assert GUARD.redact(redacted.text).found == {}


def test_a_private_key_without_an_end_goes_as_far_as_its_lines_do() -> None:
    text = f"-----BEGIN PRIVATE KEY-----\n{signs(64)}\n{signs(64, seed=2)}\nplease look at it"
    assert GUARD.redact(text).text == "[PRIVATE_KEY]\nplease look at it"


def test_what_is_not_seen_hides_no_key() -> None:
    hidden = GITHUB[:10] + "\u200b" + GITHUB[10:]
    assert GUARD.redact(f"a {hidden} b").text == "a [GITHUB] b"


async def test_the_reason_names_the_kinds_and_no_secret() -> None:
    verdict = await GUARD.inspect([Turn("user", GITHUB), Turn("tool", "password: Sommer2024!")])
    assert verdict.reason == "secrets: github, password"
    assert set(verdict.categories) == {"github", "password"}


def test_only_the_chosen_kinds_are_looked_for() -> None:
    guard = Secrets(SecretsConfig(categories=("github",)))
    assert found(f"{GITHUB} password: Sommer2024!", guard) == [("github", GITHUB)]


def test_a_kind_that_is_not_known() -> None:
    with pytest.raises(SettingsError) as refused:
        Secrets(SecretsConfig(categories=("github", "gitea")))
    assert refused.value.key == "categories[1]"
    assert len(CATEGORIES) == len(set(CATEGORIES))


@given(st.text(max_size=400))
def test_any_text_can_be_looked_at(text: str) -> None:
    assert all(0 <= one.start < one.end <= len(text) for one in GUARD.find(text))


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----" * 10_000,
        "eyJ" * 100_000,
        "token=" * 50_000,
        "a://b:" * 50_000,
        f"{GITHUB} " * 5_000,
        "aws secret " * 30_000,
        "\u1234" * 300_000,
    ],
    ids=["beginnings", "halves of tokens", "names", "addresses", "keys", "words before", "no letters of ours"],
)
@pytest.mark.timeout(20)
def test_no_text_takes_quadratic_time(text: str) -> None:
    GUARD.find(text)
