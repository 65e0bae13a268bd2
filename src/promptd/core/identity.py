"""Keys, permissions and who may see what: one identity model for every face."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Final

from promptd.core.errors import Forbidden
from promptd.core.model import Caller, Key, Prompt

PROMPT_CREATE: Final = "prompt-svc:prompt:create"
PROMPT_VIEW: Final = "prompt-svc:prompt:view"
PROMPT_EDIT: Final = "prompt-svc:prompt:edit"
PROMPT_DELETE: Final = "prompt-svc:prompt:delete"
PROMPT_STREAM: Final = "prompt-svc:prompt:stream"
MODEL_VIEW: Final = "model-svc:model:view"
MODEL_EDIT: Final = "model-svc:model:edit"
KEY_EDIT: Final = "user-svc:key:edit"
METRICS_VIEW: Final = "promptd:metrics:view"

#: What an ordinary key may do unless its maker says otherwise.
USER_PERMISSIONS: Final = frozenset({PROMPT_CREATE, PROMPT_VIEW, PROMPT_EDIT, PROMPT_DELETE, PROMPT_STREAM, MODEL_VIEW})
ALL_PERMISSIONS: Final = USER_PERMISSIONS | {MODEL_EDIT, KEY_EDIT, METRICS_VIEW}

KEY_PREFIX: Final = "pk"
OPERATOR: Final = "operator"  #: id of the key that the operator chose; it may have any form


def make_key(identifier: str, random: bytes) -> str:
    """The secret a caller holds: `pk-<id>-<43 letters>`; 32 random bytes."""
    return f"{KEY_PREFIX}-{identifier}-{urlsafe_b64encode(random[:32]).decode().rstrip('=')}"


def key_id(secret: str) -> str | None:
    """The id inside a secret, or None where it does not look like one."""
    parts = secret.split("-", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX else None


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def opens(key: Key, secret: str, now: float) -> bool:
    """Whether `secret` is this key's and the key is still good."""
    same = hmac.compare_digest(key.digest, digest(secret))
    return same and key.revoked is None and (key.expires is None or now < key.expires)


def caller_of(key: Key) -> Caller:
    return Caller(key.user, key.id, key.team, key.permissions, key.admin)


def require(caller: Caller, permission: str) -> None:
    """Raise `Forbidden` unless the caller holds `permission`."""
    if not caller.may(permission):
        raise Forbidden(f"this needs the permission {permission}")


def may_see(caller: Caller, prompt: Prompt, members: tuple[str, ...] = ()) -> bool:
    """The author, members of its thread, and admins."""
    return caller.admin or caller.user == prompt.user or caller.user in members


def may_read(caller: Caller, prompt: Prompt, members: tuple[str, ...] = ()) -> bool:
    """Whether the *text* of prompt and answer is shown: never because one is an admin."""
    return caller.user == prompt.user or caller.user in members
