"""What every message is made of: names, JSON values, and the frozen model under each."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

__all__ = [
    "MAX_LIMIT",
    "MAX_NESTING",
    "MAX_WAIT_SECONDS",
    "PROTOCOL_VERSION",
    "ClientId",
    "ExecutionId",
    "JsonObject",
    "JsonValue",
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

_NAME = StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")

MAX_NESTING: Final = 190
"""How deep arrays and objects may be nested in a JSON value (jiter, under pydantic, reads 200)."""

ClientId = Annotated[str, _NAME]
"""Who submits: 1 to 64 of ``A-Z a-z 0-9 . _ -``. It is the first part of a topic."""

ExecutionId = Annotated[str, _NAME]
"""One execution, named by its client: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""

JsonObject = dict[str, JsonValue]
"""A JSON object with string keys."""

Labels = dict[str, str]
"""What an application wants to find an execution by; the server only keeps it."""

Timestamp = Annotated[float, Field(ge=0)]
"""Unix time in seconds."""

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]


class Model(BaseModel):
    """A frozen value: nothing coerced, no NaN, fields from a newer peer ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
