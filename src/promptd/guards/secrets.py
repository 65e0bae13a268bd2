"""The guard `secrets`: keys and passwords that stand in a text.

Most services give their keys a mark, so that they can be found; their patterns are searched together in one pass (RE2), and a
text without any costs that pass alone. What has no mark is found by its place, as the password in an address or the value
of a name like `api_key`, and by how little it looks like a word.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import re2
from pydantic import Field

from promptd.core.errors import SettingsError
from promptd.core.guarding import GuardTools
from promptd.guards.detecting import Detector, DetectorConfig, Finding, plain
from promptd.guards.patterns import PatternSet

_FEWEST_BITS: Final = 3.0  # per character: random letters have four and more, words and repetitions less

#: what stands in place of the random part of a marked key
_BLOTTED: Final = re2.compile(r"(?i)x{6,}|\*{3,}|\.{3}")

#: what stands where a secret would, in documents and examples
_PLACEHOLDER: Final = re2.compile(
    r"(?i)^[<{\[$%]|\b(?:your|my)[_-]|example|placeholder|changeme|change[_-]me|dummy|redacted|x{4,}|\*{3,}|\.{3}"
    r"|^(?:password|passwd|secret|token|none|null|true|false|undefined|env|test|user|pass|pwd)$|^(?:process|os|config)[.]"
)


def _is_random(value: str) -> bool:
    """Whether it has letters and digits, and each character tells much."""
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= _FEWEST_BITS and any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _is_whole(value: str) -> bool:
    return not _BLOTTED.search(value)


def _is_given(value: str) -> bool:
    return not _PLACEHOLDER.search(value)


def _is_random_and_given(value: str) -> bool:
    return _is_given(value) and _is_random(value)


class _Kind(NamedTuple):
    """`pattern` finds it; its first group, or all of it, is the secret, and `check` has the last word."""

    category: str
    pattern: str
    check: Callable[[str], bool] = _is_whole


#: ends a token whose length is known, where RE2 can't look ahead
_END: Final = r"(?:[^A-Za-z0-9_-]|$)"
_SIGN: Final = r"[A-Za-z0-9_-]"
_NAME: Final = (
    r"(?:api[_-]?key|apikey|access[_-]?key|secret[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token"
    r"|refresh[_-]?token|bearer[_-]?token|account[_-]?key|signing[_-]?key|encryption[_-]?key|secret|token|credentials?)"
)
_PASSES: Final = r"(?:password|passwd|passphrase|passwort|contrasena|mot de passe|pwd)"

_KINDS: Final = (
    _Kind("private_key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[A-Za-z0-9+/=:;,()\s\\._]|-[A-Za-z0-9])*-----END [A-Z0-9 ]{3,40}-----|(?:(?:\s|\\[nr])*[A-Z][A-Za-z-]{2,20}:[^\n\\]*){0,5}(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{16,})*)"),
    _Kind("private_key", r"\bAGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    _Kind("aws", rf"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}){_END}"),
    _Kind("aws", r"(?i)aws.{0,20}(?:secret|key).{0,20}?[=:\s\"']([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)", _is_random),
    _Kind("github", r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
    _Kind("github", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _Kind("gitlab", rf"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas)-{_SIGN}{{20,64}}"),
    _Kind("slack", r"\bxox[abeoprs]-(?:[A-Za-z0-9]+-){1,4}[A-Za-z0-9]{10,}"),
    _Kind("slack", r"\bxapp-[0-9]-[A-Z0-9]{8,16}-[0-9]{8,16}-[a-f0-9]{32,}"),
    _Kind("slack", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}"),
    _Kind("discord", r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]{15,20}/[A-Za-z0-9_-]{30,}"),
    _Kind("discord", r"\b[MNO][A-Za-z0-9_-]{23,26}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}\b"),
    _Kind("telegram", rf"\b([0-9]{{8,10}}:AA[A-Za-z0-9_-]{{33}}){_END}"),
    _Kind("anthropic", rf"\bsk-ant-{_SIGN}{{20,200}}"),
    _Kind("openai", rf"\bsk-(?:proj|svcacct|admin|None)-{_SIGN}{{20,250}}"),
    _Kind("openai", r"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    _Kind("openai", rf"\b(sk-[A-Za-z0-9]{{32,64}}){_END}", _is_random_and_given),
    _Kind("openrouter", r"\bsk-or-v1-[a-f0-9]{64}"),
    _Kind("huggingface", r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),
    _Kind("groq", r"\bgsk_[A-Za-z0-9]{48,56}"),
    _Kind("xai", r"\bxai-[A-Za-z0-9]{70,90}"),
    _Kind("perplexity", r"\bpplx-[A-Za-z0-9]{40,64}"),
    _Kind("replicate", r"\br8_[A-Za-z0-9]{37}"),
    _Kind("google", rf"\b(AIza{_SIGN}{{35}}){_END}"),
    _Kind("google", rf"\bGOCSPX-{_SIGN}{{28}}"),
    _Kind("google", rf"\bya29\.{_SIGN}{{20,}}"),
    _Kind("stripe", r"\b[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,128}"),
    _Kind("stripe", r"\bwhsec_[A-Za-z0-9+/=]{32,64}"),
    _Kind("square", rf"\b(?:EAAA{_SIGN}{{60}}|sq0(?:atp|csp|idp)-{_SIGN}{{22,43}})"),
    _Kind("sendgrid", rf"\bSG\.{_SIGN}{{20,24}}\.{_SIGN}{{39,50}}"),
    _Kind("twilio", r"\b(SK[0-9a-f]{32})(?:[^0-9A-Za-z]|$)"),
    _Kind("mailgun", r"\bkey-[0-9a-f]{32}\b"),
    _Kind("mailchimp", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    _Kind("npm", r"\bnpm_[A-Za-z0-9]{36}"),
    _Kind("pypi", rf"\bpypi-AgE{_SIGN}{{50,300}}"),
    _Kind("rubygems", r"\brubygems_[a-f0-9]{48}"),
    _Kind("docker", rf"\bdckr_(?:pat|oat)_{_SIGN}{{27,40}}"),
    _Kind("digitalocean", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    _Kind("databricks", r"\bdapi[a-f0-9]{32}(?:-[0-9])?\b"),
    _Kind("shopify", r"\bshp(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}"),
    _Kind("linear", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40}"),
    _Kind("notion", r"\b(?:ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43})\b"),
    _Kind("hashicorp", rf"\b(?:hvs|hvb|hvr)\.{_SIGN}{{24,300}}|\b{_SIGN}{{14}}\.atlasv1\.{_SIGN}{{60,70}}"),
    _Kind("grafana", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,400}"),
    _Kind("newrelic", r"\bNRAK-[A-Z0-9]{27}\b"),
    _Kind("azure", r"(?i)\b(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,88}={0,2})"),
    _Kind("azure", r"(?i)[?&]sig=([A-Za-z0-9%+/]{40,60}(?:%3D|=))"),
    _Kind("jwt", rf"\beyJ{_SIGN}{{10,}}\.(?:eyJ)?{_SIGN}{{10,}}\.(?:{_SIGN}+)?(?:\.{_SIGN}+){{0,2}}"),
    _Kind("connection_string", r"(?i)\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,64}:([^\s/@\"'<>]{3,200})@[a-z0-9\[]", _is_given),
    _Kind("connection_string", r"(?i)\b(?:pwd|password)=([^\s;\"']{4,200});", _is_given),
    _Kind("authorization", r"(?i)\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+([A-Za-z0-9._~+/=-]{12,})"),
    _Kind("authorization", r"(?i)\bx-api-key[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9._~+/=-]{12,})"),
    _Kind("password", rf"(?i)\b{_PASSES}[\"']?\s*(?:[:=]|is|ist|lautet)\s*[\"']([^\s\"']{{4,128}})[\"']"),
    _Kind("password", rf"(?i){_PASSES}[\"']?\s*(?::=|[:=]|is:?|lautet:?)\s*([^\s\"',;<>]{{6,128}})", lambda value: _is_given(value) and _is_mixed(value)),
    _Kind("assignment", rf"(?i){_NAME}[\"']?\s*(?::=|=>|[:=]|is:?)\s*[\"'`]?([A-Za-z0-9_+/.=~-]{{16,512}})", _is_random_and_given),
)  # fmt: skip

#: by name, in the order in which they count where one is found inside another
CATEGORIES: Final = tuple(dict.fromkeys(kind.category for kind in _KINDS))


def _is_mixed(value: str) -> bool:
    """Whether it is rather a password than a word of a sentence."""
    kinds = (str.isdigit, str.isupper, str.islower, lambda sign: not sign.isalnum())
    inner = value.rstrip(".!?)")
    return sum(any(map(kind, inner)) for kind in kinds) >= 2 and any(not sign.isalpha() for sign in inner)


class SecretsConfig(DetectorConfig):
    """What is looked for. By default, everything."""

    categories: tuple[str, ...] = Field(CATEGORIES, min_length=1, description="Which kinds are looked for.")


class Secrets(Detector):
    """The guard. Raises `SettingsError` for a category that is not known; `key` is its path below the guard's settings."""

    config_class: Final = SecretsConfig
    name = "secrets"
    reach: int | None = 512  # up to where a secret is known to be one; a longer one has no blanks, or an end of its own

    def __init__(self, config: SecretsConfig = SecretsConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        super().__init__(config)
        for at, category in enumerate(config.categories):
            if category not in CATEGORIES:
                key = f"categories[{at}]"
                raise SettingsError(f"{key}: expected one of {', '.join(CATEGORIES)}", key=key)
        self._kinds = [kind for kind in _KINDS if kind.category in config.categories]
        self._patterns: list[Any] = [re2.compile(kind.pattern) for kind in self._kinds]
        self._set = PatternSet(kind.pattern for kind in self._kinds)

    def search(self, text: str) -> Iterable[Finding]:
        spelled = plain(text)
        found = self._set.search(spelled.text)
        for number in range(len(self._kinds)) if found is None else found:
            kind = self._kinds[number]
            for one in self._patterns[number].finditer(spelled.text):
                group = 1 if one.re.groups else 0
                if kind.check(one[group]):
                    yield spelled.original(Finding(kind.category, *one.span(group)))
