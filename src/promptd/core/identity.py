"""Keys, permissions and who may see what: one identity model for every face."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from promptd.core.errors import Forbidden, ModelForbidden
from promptd.core.model import Caller, Key, Prompt

PROMPT_CREATE: Final = "prompt-svc:prompt:create"
PROMPT_VIEW: Final = "prompt-svc:prompt:view"
PROMPT_EDIT: Final = "prompt-svc:prompt:edit"
PROMPT_DELETE: Final = "prompt-svc:prompt:delete"
PROMPT_STREAM: Final = "prompt-svc:prompt:stream"
THREAD_CREATE: Final = "chat-svc:thread:create"
THREAD_VIEW: Final = "chat-svc:thread:view"
THREAD_EDIT: Final = "chat-svc:thread:edit"
THREAD_DELETE: Final = "chat-svc:thread:delete"
THREAD_STREAM: Final = "chat-svc:thread:stream"
MESSAGE_CREATE: Final = "chat-svc:message:create"
MESSAGE_VIEW: Final = "chat-svc:message:view"
MESSAGE_EDIT: Final = "chat-svc:message:edit"
MESSAGE_DELETE: Final = "chat-svc:message:delete"
MESSAGE_STREAM: Final = "chat-svc:message:stream"
UPLOAD_CREATE: Final = "file-svc:upload:create"
UPLOAD_VIEW: Final = "file-svc:upload:view"
UPLOAD_EDIT: Final = "file-svc:upload:edit"
UPLOAD_DELETE: Final = "file-svc:upload:delete"
DOWNLOAD_CREATE: Final = "file-svc:download:create"
DOWNLOAD_VIEW: Final = "file-svc:download:view"
DOWNLOAD_EDIT: Final = "file-svc:download:edit"
DOWNLOAD_DELETE: Final = "file-svc:download:delete"
POLICY_TEMPLATE_VIEW: Final = "policy-svc:template:view"
POLICY_TEMPLATE_CREATE: Final = "policy-svc:template:create"
POLICY_TEMPLATE_EDIT: Final = "policy-svc:template:edit"
POLICY_TEMPLATE_DELETE: Final = "policy-svc:template:delete"
POLICY_INSTANCE_VIEW: Final = "policy-svc:instance:view"
POLICY_INSTANCE_CREATE: Final = "policy-svc:instance:create"
POLICY_INSTANCE_EDIT: Final = "policy-svc:instance:edit"
POLICY_INSTANCE_DELETE: Final = "policy-svc:instance:delete"
POLICY_CHECK: Final = "policy-svc:check:view"
MODEL_CREATE: Final = "model-svc:model:create"
MODEL_VIEW: Final = "model-svc:model:view"
MODEL_EDIT: Final = "model-svc:model:edit"
MODEL_DELETE: Final = "model-svc:model:delete"
MODEL_STREAM: Final = "model-svc:model:stream"
PLATFORM_VIEW: Final = "model-svc:platform:view"
PLATFORM_EDIT: Final = "model-svc:platform:edit"
KEY_EDIT: Final = "user-svc:key:edit"
USER_VIEW: Final = "user-svc:user:view"
USER_DELETE: Final = "user-svc:user:delete"
PASSWORD_CHANGE: Final = "user-svc:user:password-change"  # noqa: S105 (its name)
PASSWORD_RESET: Final = "user-svc:user:password-reset"  # noqa: S105 (its name)
TOKEN_REVOKE: Final = "user-svc:token:revoke"  # noqa: S105 (its name)
PERMIT_VIEW: Final = "user-svc:permit:view"
EVENT_PUBLISH: Final = "firehose-svc:event:publish"
EVENT_STREAM: Final = "firehose-svc:event:stream"
METRICS_VIEW: Final = "promptd:metrics:view"
TEMPLATE_VIEW: Final = "prompt-svc:template:view"
TEMPLATE_EDIT: Final = "prompt-svc:template:edit"
CONNECTION_VIEW: Final = "prompt-svc:connection:view"
CONNECTION_EDIT: Final = "prompt-svc:connection:edit"

_PROMPTS: Final = frozenset({PROMPT_CREATE, PROMPT_VIEW, PROMPT_EDIT, PROMPT_DELETE, PROMPT_STREAM})
_TEMPLATES: Final = frozenset({TEMPLATE_VIEW, TEMPLATE_EDIT, CONNECTION_VIEW, CONNECTION_EDIT})
_THREADS: Final = frozenset({THREAD_CREATE, THREAD_VIEW, THREAD_EDIT, THREAD_DELETE, THREAD_STREAM})
_MESSAGES: Final = frozenset({MESSAGE_CREATE, MESSAGE_VIEW, MESSAGE_EDIT, MESSAGE_DELETE, MESSAGE_STREAM})
_UPLOADS: Final = frozenset({UPLOAD_CREATE, UPLOAD_VIEW, UPLOAD_EDIT, UPLOAD_DELETE})
_DOWNLOADS: Final = frozenset({DOWNLOAD_CREATE, DOWNLOAD_VIEW, DOWNLOAD_EDIT, DOWNLOAD_DELETE})
_POLICIES: Final = frozenset(
    {
        POLICY_TEMPLATE_VIEW,
        POLICY_TEMPLATE_CREATE,
        POLICY_TEMPLATE_EDIT,
        POLICY_TEMPLATE_DELETE,
        POLICY_INSTANCE_VIEW,
        POLICY_INSTANCE_CREATE,
        POLICY_INSTANCE_EDIT,
        POLICY_INSTANCE_DELETE,
        POLICY_CHECK,
    }
)
_MODELS: Final = frozenset(
    {MODEL_CREATE, MODEL_VIEW, MODEL_EDIT, MODEL_DELETE, MODEL_STREAM, PLATFORM_VIEW, PLATFORM_EDIT}
)
_USERS: Final = frozenset(
    {KEY_EDIT, USER_VIEW, USER_DELETE, PASSWORD_CHANGE, PASSWORD_RESET, TOKEN_REVOKE, PERMIT_VIEW}
)

#: What an ordinary key may do unless its maker says otherwise.
USER_PERMISSIONS: Final = _PROMPTS | {UPLOAD_CREATE, UPLOAD_VIEW, UPLOAD_DELETE, MODEL_VIEW, TEMPLATE_VIEW}
ALL_PERMISSIONS: Final = (
    _PROMPTS
    | _TEMPLATES
    | _THREADS
    | _MESSAGES
    | _UPLOADS
    | _DOWNLOADS
    | _POLICIES
    | _MODELS
    | _USERS
    | {EVENT_PUBLISH, EVENT_STREAM, METRICS_VIEW}
)

#: Roles that promptd itself knows, and what they may do; permits can give more (core/people.py).
ADMIN_ROLE: Final = "user-svc:admin"
USER_ROLE: Final = "user-svc:user"
ROLE_PERMISSIONS: Final = {
    ADMIN_ROLE: ALL_PERMISSIONS,
    USER_ROLE: _THREADS | _MESSAGES | {POLICY_CHECK, PASSWORD_CHANGE},
}

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
    return hmac.compare_digest(key.digest, digest(secret)) and is_open(key, now)


def is_open(key: Key, now: float) -> bool:
    """Whether the key is neither revoked nor expired."""
    return key.revoked is None and (key.expires is None or now < key.expires)


def caller_of(key: Key) -> Caller:
    return Caller(key.user, key.id, key.team, key.permissions, key.admin, models=key.models, keep=key.keep)


def require(caller: Caller, permission: str) -> None:
    """Raise `Forbidden` unless the caller holds `permission`."""
    if not caller.may(permission):
        raise Forbidden(f"this needs the permission {permission}")


def may_use(caller: Caller, model: str) -> bool:
    """Whether the caller's key is for the model of this name."""
    return not caller.models or any(fnmatchcase(model, pattern) for pattern in caller.models)


def require_model(caller: Caller, model: str) -> None:
    """Raise `ModelForbidden` unless the caller's key is for the model."""
    if not may_use(caller, model):
        raise ModelForbidden(f"this key is not for the model {model[:200]!r}")


def covers(patterns: Sequence[str], others: Sequence[str]) -> bool:
    """Whether every model of `others` is surely one of `patterns`; no patterns are all models."""
    if not patterns:
        return True
    known = set(patterns)
    return bool(others) and all(
        other in known or (not set("*?[") & set(other) and any(fnmatchcase(other, one) for one in patterns))
        for other in others
    )


def may_see(caller: Caller, prompt: Prompt, members: tuple[str, ...] = ()) -> bool:
    """The author, members of its thread, and admins."""
    return caller.admin or caller.user == prompt.user or caller.user in members


def may_read(caller: Caller, prompt: Prompt, members: tuple[str, ...] = ()) -> bool:
    """Whether the *text* of prompt and answer is shown: never because one is an admin."""
    return caller.user == prompt.user or caller.user in members
