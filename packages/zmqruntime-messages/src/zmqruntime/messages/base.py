"""Shared parts of all messages: limits, field types, and the frozen base model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import core_schema

__all__ = [
    "MAX_ALSO",
    "MAX_ATTEMPTS",
    "MAX_BACKOFF_SECONDS",
    "MAX_LIMIT",
    "MAX_LOG_TAIL_BYTES",
    "MAX_PRIORITY",
    "MAX_REQUEST_BYTES",
    "MAX_REQUEST_ID",
    "MAX_WAIT_SECONDS",
    "PROTOCOL_VERSION",
    "ClientId",
    "ExecutionId",
    "Labels",
    "Limit",
    "Timestamp",
]

PROTOCOL_VERSION: Final = 1
"""The version of the wire protocol that these models describe."""

MAX_WAIT_SECONDS: Final = 60.0
"""The maximum ``wait_seconds`` of a request."""

MAX_LIMIT: Final = 1000
"""The maximum ``limit`` of a request."""

MAX_LOG_TAIL_BYTES: Final = 65_536
"""The maximum ``max_bytes`` of a ``log_tail`` request."""

MAX_REQUEST_BYTES: Final = 65_536
"""The maximum length of a request in bytes; of an ``execute``, without its task and config."""

MAX_REQUEST_ID: Final = 256
"""The maximum length of a ``request_id`` in characters."""

MAX_CURSOR: Final = 256
"""The maximum length of a cursor in characters."""

MAX_ALSO: Final = 64
"""The maximum number of further executions in a ``status`` request."""

MAX_ATTEMPTS: Final = 20
"""The maximum ``max_attempts`` of an execution."""

MAX_BACKOFF_SECONDS: Final = 3600.0
"""The maximum backoff in seconds before an execution is retried."""

MAX_PRIORITY: Final = 1000
"""The maximum priority; the minimum is its negative."""

NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
NAME_WORDS: Final = "has to be 1 to 64 characters, each of A-Z a-z 0-9 . _ -"
"""The error message for `NAME_PATTERN`."""

_NAME = StringConstraints(pattern=NAME_PATTERN)

ClientId = Annotated[str, _NAME]
"""A client's name, the first part of its topics: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""

ExecutionId = Annotated[str, _NAME]
"""An execution's name, chosen by its client: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""

Labels = dict[str, str]
"""An application's labels of an execution; opaque to the server."""

Timestamp = Annotated[float, Field(ge=0)]
"""Unix time in seconds."""

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
"""The maximum number of entries in a reply."""


class UnknownAs:
    """Decode an unknown enum value as ``fallback``, so that servers may add values.

    Only in frames: in Python calls an unknown value is invalid.
    """

    def __init__(self, fallback: StrEnum) -> None:
        self._fallback = fallback
        self._known = {word.value: word for word in type(fallback)}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "anyOf": [handler(schema), {"type": "string"}],
            "description": f"Treat an unknown value as `{self._fallback}`.",
        }

    def _read(self, value: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" and isinstance(value, str):
            return self._known.get(value, self._fallback)
        return value


class Model(BaseModel):
    """Frozen base model: strict types, no NaN, unknown fields ignored (forward compatibility)."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        # Any length constraint makes pydantic validate the characters: a lone surrogate (as in the
        # name of a file that is not UTF-8) is a validation error of its field, not an encoding
        # error later.
        str_min_length=0,
    )
