"""The ``execute`` request: complete, without its body, and with an unparsed body.

The only request that a worker loads.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, from_json, to_json

from zmqruntime.messages.base import (
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    MAX_PRIORITY,
    MAX_REQUEST_BYTES,
    MAX_REQUEST_ID,
    MAX_WAIT_SECONDS,
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Model,
)
from zmqruntime.messages.failures import ErrorKind
from zmqruntime.messages.json_value import JsonObject

__all__ = ["ExecuteHead", "ExecuteRequest", "UnparsedExecute"]

_MAX_LABELS_BYTES: Final = 60 * 1024
_MAX_KINDS: Final = 32


def _require_short(labels: dict[str, str]) -> dict[str, str]:
    # The limits of single labels do not bound the sum: a character has up to 6 bytes in JSON.
    if len(labels) > 8 and (size := len(to_json(labels))) > _MAX_LABELS_BYTES:
        raise PydanticCustomError(
            "labels_too_large",
            "{size} bytes of JSON; all labels together have at most {limit}",
            {"size": size, "limit": _MAX_LABELS_BYTES},
        )
    return labels


# Bounded, since every list of executions has them.
_BoundedLabels = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=1000)]],
    Field(max_length=32),
    AfterValidator(_require_short),
]

# fail_fast: a pydantic error costs a thousand times the wrong word in a frame that causes it.
_Kinds = Annotated[tuple[ErrorKind, ...], Field(max_length=_MAX_KINDS, fail_fast=True)]

WaitSeconds = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)]


class RequestModel(Model):
    """Common fields of all requests. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: Annotated[str, Field(max_length=MAX_REQUEST_ID)] | None = None
    """Echoed in the reply."""


class ExecuteHead(RequestModel):
    """An ``execute`` without its body (task and config): all that a server reads."""

    type: Literal["execute"] = "execute"
    client_id: ClientId
    execution_id: ExecutionId | None = None
    """Chosen by the client, which makes retries idempotent; otherwise assigned by the server."""
    labels: _BoundedLabels = Field(default_factory=dict)
    """At most 32: keys of up to 64 characters, values of up to 1,000; 60 KiB of JSON in all."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """The timeout of each attempt, from its start."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """Higher runs first: of all executions, or of this client's under ``fair``."""
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    """The maximum number of runs, including the first one; null: the server's default."""
    retry_on: _Kinds | None = None
    """The kinds of failure after which it is retried; null: the server's default."""
    backoff_seconds: Annotated[float, Field(ge=0, le=MAX_BACKOFF_SECONDS)] | None = None
    """The delay of the second attempt, doubled for each further one, up to an hour."""
    wait_seconds: WaitSeconds = 0.0
    """How long the server holds the reply until the execution ends; the reply has the record."""


class ExecuteRequest(ExecuteHead):
    """Run a task. Reply: ``accepted``. Idempotent for one ``execution_id``."""

    task: JsonObject
    """Application-defined."""
    config: JsonObject | None = None
    """Application-defined."""

    @classmethod
    def from_trusted_json(cls, frame: bytes) -> Self:
        """Return the request in a frame that was validated before, without validating again.

        A frame longer than `MAX_REQUEST_BYTES` is validated: its body was not parsed before.

        Raises:
            ValidationError: a required field is missing, or the body of a long frame is invalid.
        """
        if len(frame) > MAX_REQUEST_BYTES:
            return cls.model_validate_json(frame)
        given: dict[str, Any] = from_json(frame)
        if not given.keys() >= _REQUIRED:
            return cls.model_validate_json(frame)  # Raises the error.
        fields = _BLANK | given
        if "labels" not in given:
            fields["labels"] = {}
        for name in _FLOATS:
            if type(fields[name]) is int:  # A peer may write 5 for 5.0.
                fields[name] = float(fields[name])
        if (kinds := given.get("retry_on")) is not None:
            fields["retry_on"] = tuple(map(ErrorKind, kinds))
        request = cls.__new__(cls)
        # As pickle restores a model.
        request.__setstate__(
            {
                "__dict__": fields,
                "__pydantic_fields_set__": set(given),
                "__pydantic_extra__": None,
                "__pydantic_private__": None,
            }
        )
        return request


class UnparsedExecute(ExecuteHead):
    """A validated head with an unparsed body, too large to be parsed by a server.

    The task and the config are JSON objects in UTF-8. Undetected until they are parsed: numbers out
    of range, and a nesting of 200 to about 1,000 levels.
    """

    # Built by the import of `long_requests`: neither a worker nor a server's start needs it.
    model_config = ConfigDict(arbitrary_types_allowed=True, defer_build=True)

    task_json: memoryview = Field(repr=False)
    """The raw task: a view into its frame."""
    config_json: memoryview | None = Field(default=None, repr=False)
    """The raw config; None when it is absent or null."""

    def to_frame(self) -> bytes:
        """Return the `ExecuteRequest` as one frame: the head re-encoded, the body unchanged."""
        head = self.__pydantic_serializer__.to_json(
            self, exclude={"task_json", "config_json"}, exclude_none=True
        )
        parts: list[bytes | memoryview] = [head[:-1], b',"task":', self.task_json]
        if self.config_json is not None:
            parts += [b',"config":', self.config_json]
        return b"".join([*parts, b"}"])


_FLOATS: Final = ("timeout_seconds", "backoff_seconds", "wait_seconds")
_REQUIRED: Final = {
    name for name, field in ExecuteRequest.model_fields.items() if field.is_required()
}
# In the order of the fields. The labels are mutable: each request gets its own.
_BLANK: Final = {name: field.default for name, field in ExecuteRequest.model_fields.items()}
