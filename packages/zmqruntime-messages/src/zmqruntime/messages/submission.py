"""The request that hands a task over. Apart from the others, which a worker does not need."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field
from pydantic_core import from_json

from zmqruntime.messages.base import (
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    MAX_PRIORITY,
    MAX_WAIT_SECONDS,
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Model,
)
from zmqruntime.messages.failures import ErrorKind
from zmqruntime.messages.json_value import JsonObject

__all__ = ["ExecuteRequest", "RequestModel", "WaitSeconds"]

# They are in every list of executions, so that they have to be short.
_BoundedLabels = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=1000)]],
    Field(max_length=32),
]

WaitSeconds = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)]


class RequestModel(Model):
    """What every request holds. A field that it does not know is refused."""

    model_config = ConfigDict(extra="forbid")

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: str | None = None
    """Echoed in the reply."""


class ExecuteRequest(RequestModel):
    """Run a task. Answered by ``accepted``; asking again with the same id is safe."""

    type: Literal["execute"] = "execute"
    task: JsonObject
    """The application's own."""
    config: JsonObject | None = None
    """The application's own."""
    client_id: ClientId
    execution_id: ExecutionId | None = None
    """Named by the client, so that a retry enqueues nothing twice; else the server names it."""
    labels: _BoundedLabels = Field(default_factory=dict)
    """At most 32: keys of up to 64 characters, values of up to 1,000."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long the task may run before the server stops it."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """A higher one runs first: of all, or of this client's where clients take turns."""
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    """How often the task may run, the first time included; None: as the server's default says."""
    retry_on: tuple[ErrorKind, ...] | None = None
    """What it runs again after; None: as the server's default says."""
    backoff_seconds: Annotated[float, Field(ge=0, le=MAX_BACKOFF_SECONDS)] | None = None
    """How long the second attempt waits; each further one waits twice as long, up to an hour."""
    wait_seconds: WaitSeconds = 0.0
    """How long to hold the reply while the execution has not ended; it then has the record."""

    @classmethod
    def read_again(cls, frame: bytes) -> Self:
        """Return the request in a frame that was checked before, without a second check.

        Raises:
            ValidationError: the frame lacks what every request has.
        """
        given: dict[str, Any] = from_json(frame)
        if not given.keys() >= _REQUIRED:
            return cls.model_validate_json(frame)  # It says what is wrong.
        fields = _BLANK | given
        if "labels" not in given:
            fields["labels"] = {}
        for name in _FLOATS:
            if type(fields[name]) is int:  # In JSON some are written so.
                fields[name] = float(fields[name])
        if (kinds := given.get("retry_on")) is not None:
            fields["retry_on"] = tuple(map(ErrorKind, kinds))
        request = cls.__new__(cls)
        # As pickle would make it.
        request.__setstate__(
            {
                "__dict__": fields,
                "__pydantic_fields_set__": set(given),
                "__pydantic_extra__": None,
                "__pydantic_private__": None,
            }
        )
        return request


_FLOATS: Final = ("timeout_seconds", "backoff_seconds", "wait_seconds")
_REQUIRED: Final = {
    name for name, field in ExecuteRequest.model_fields.items() if field.is_required()
}
# In the order of the fields; of labels each request has its own.
_BLANK: Final = {name: field.default for name, field in ExecuteRequest.model_fields.items()}
