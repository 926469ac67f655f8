"""What every message is made of: names, times, and the frozen model under each."""

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
"""The longest time, in seconds, for which a server holds one reply."""

MAX_LIMIT: Final = 1000
"""The most entries that one reply lists."""

MAX_LOG_TAIL_BYTES: Final = 65_536
"""The most that one reply tells of a task's log."""

MAX_REQUEST_BYTES: Final = 65_536
"""The longest request, in bytes; of an ``execute``, what is beside its task and its config."""

MAX_REQUEST_ID: Final = 256
"""The longest ``request_id``, in characters."""

MAX_CURSOR: Final = 256
"""The longest cursor of a page, in characters."""

MAX_ALSO: Final = 64
"""The most executions that a status request names beside its own."""

MAX_ATTEMPTS: Final = 20
"""The most often that one execution may run."""

MAX_BACKOFF_SECONDS: Final = 3600.0
"""The longest delay, in seconds, before a failed execution runs again."""

MAX_PRIORITY: Final = 1000
"""The highest priority; the lowest is its negative."""

NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
NAME_WORDS: Final = "has to be 1 to 64 characters, each of A-Z a-z 0-9 . _ -"
"""`NAME_PATTERN` for a reader of an error."""

_NAME = StringConstraints(pattern=NAME_PATTERN)

ClientId = Annotated[str, _NAME]
"""Who submits: 1 to 64 of ``A-Z a-z 0-9 . _ -``. It is the first part of a topic."""

ExecutionId = Annotated[str, _NAME]
"""One execution, named by its client: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""

Labels = dict[str, str]
"""What an application wants to find an execution by; the server only keeps it."""

Timestamp = Annotated[float, Field(ge=0)]
"""Unix time in seconds."""

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
"""How many entries of a kind a reply may list."""


class UnknownMeans:
    """Read a word that only a newer server knows as ``fallback``; in frames, not in calls."""

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
            "description": f"Read a word that you do not know as `{self._fallback}`.",
        }

    def _read(self, value: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" and isinstance(value, str):
            return self._known.get(value, self._fallback)
        return value


class Model(BaseModel):
    """A frozen value: nothing coerced, no NaN, fields from a newer peer ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        # Any bound has pydantic look at the characters, so half a surrogate pair (as in the name
        # of a file that is not UTF-8) is refused here, by field, and not when it is encoded.
        str_min_length=0,
    )
