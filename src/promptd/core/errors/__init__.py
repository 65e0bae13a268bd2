"""The whole error tree. Every face maps these classes to its own wire; no other exception crosses a floor.

PromptdError
├── Refusal                     the request is refused before any work (intake, look-ups)
│   ├── InvalidRequest          a field is wrong; names the field and what was expected
│   │   └── UnknownModel
│   ├── PayloadTooLarge
│   ├── Unauthenticated
│   ├── Forbidden
│   │   └── ModelForbidden      the key is for other models; `field` is `model`
│   ├── Blocked                 an address is shut out
│   ├── NotFound
│   ├── MethodNotAllowed
│   ├── Conflict                the object is in a state that forbids the change
│   │   └── StaleVersion
│   ├── IdempotencyMismatch
│   ├── ContentRefused          a guard said no
│   ├── TooManyRequests         a policy said not now
│   │   ├── BudgetSpent         what was granted for a day or month is used up
│   │   └── LaneFull            too many calls wait for the connection, or this one waited too long
│   └── Unavailable             promptd itself can't take it now
│       ├── StoreUnavailable
│       ├── Overloaded
│       └── ShuttingDown
├── PromptExecutionError        an attempt failed (the 20 codes of contracts/formcycle.md §5)
│   ├── ExecutionFailed ── InvalidOutput ── OutputTruncated
│   ├── InvalidInput, InputTooLarge, UnsupportedInput, ContentFiltered
│   ├── AuthenticationFailed, PermissionDenied, ResourceNotFound
│   ├── RateLimited, QuotaExceeded, NetworkError, Timeout
│   ├── ServiceUnavailable ── EngineLost
│   ├── Cancelled
│   └── ConfigIncomplete, ConfigUnusable, HandlerUnavailable, DescriptorFailed
├── PromptSerializationError    a plugin's configuration could not be written or read
└── SettingsError               a configuration key is unknown, wrong or can't be enforced
"""

from promptd.core.errors.base import (
    PromptdError,
)
from promptd.core.errors.configuration import (
    PromptSerializationError,
    SettingsError,
)
from promptd.core.errors.execution import (
    Answered,
    AuthenticationFailed,
    Cancelled,
    ConfigIncomplete,
    ConfigUnusable,
    ContentFiltered,
    DescriptorFailed,
    EngineLost,
    ExecutionFailed,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    OutputTruncated,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)
from promptd.core.errors.refusals import (
    Blocked,
    BudgetSpent,
    Conflict,
    ContentRefused,
    Forbidden,
    IdempotencyMismatch,
    InvalidRequest,
    LaneFull,
    MethodNotAllowed,
    ModelForbidden,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    Refusal,
    ShuttingDown,
    StaleVersion,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnknownModel,
)
from promptd.core.errors.tree import (
    EXECUTION_CODES,
    leaves,
)

__all__ = [
    "EXECUTION_CODES",
    "Answered",
    "AuthenticationFailed",
    "Blocked",
    "BudgetSpent",
    "Cancelled",
    "ConfigIncomplete",
    "ConfigUnusable",
    "Conflict",
    "ContentFiltered",
    "ContentRefused",
    "DescriptorFailed",
    "EngineLost",
    "ExecutionFailed",
    "Forbidden",
    "HandlerUnavailable",
    "IdempotencyMismatch",
    "InputTooLarge",
    "InvalidInput",
    "InvalidOutput",
    "InvalidRequest",
    "LaneFull",
    "MethodNotAllowed",
    "ModelForbidden",
    "NetworkError",
    "NotFound",
    "OutputTruncated",
    "Overloaded",
    "PayloadTooLarge",
    "PermissionDenied",
    "PromptExecutionError",
    "PromptSerializationError",
    "PromptdError",
    "QuotaExceeded",
    "RateLimited",
    "Refusal",
    "ResourceNotFound",
    "ServiceUnavailable",
    "SettingsError",
    "ShuttingDown",
    "StaleVersion",
    "StoreUnavailable",
    "Timeout",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "UnsupportedInput",
    "leaves",
]
