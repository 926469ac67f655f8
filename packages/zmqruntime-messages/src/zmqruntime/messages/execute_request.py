"""The request that hands a task over. Apart from the others, which a worker does not need."""

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
    # Each may be short, and all together too long: a character has up to 6 bytes in JSON.
    if len(labels) > 8 and (size := len(to_json(labels))) > _MAX_LABELS_BYTES:
        raise PydanticCustomError(
            "labels_too_large",
            "{size} bytes of JSON; all labels together have at most {limit}",
            {"size": size, "limit": _MAX_LABELS_BYTES},
        )
    return labels


# They are in every list of executions, so that they have to be short.
_BoundedLabels = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=1000)]],
    Field(max_length=32),
    AfterValidator(_require_short),
]

# An error costs more than a thousand times what a wrong word in a frame does: the first one ends
# the validation, and so does a list that is too long.
_Kinds = Annotated[tuple[ErrorKind, ...], Field(max_length=_MAX_KINDS, fail_fast=True)]

WaitSeconds = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)]


class RequestModel(Model):
    """What every request holds. A field that it does not know is refused."""

    model_config = ConfigDict(extra="forbid")

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: Annotated[str, Field(max_length=MAX_REQUEST_ID)] | None = None
    """Echoed in the reply."""


class ExecuteHead(RequestModel):
    """An ``execute`` without its task and its config: what a server needs to know of it."""

    type: Literal["execute"] = "execute"
    client_id: ClientId
    execution_id: ExecutionId | None = None
    """Named by the client, so that a retry enqueues nothing twice; else the server names it."""
    labels: _BoundedLabels = Field(default_factory=dict)
    """At most 32: keys of up to 64 characters, values of up to 1,000; 60 KiB of JSON in all."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long the task may run before the server stops it."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """A higher one runs first: of all, or of this client's where clients take turns."""
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    """How often the task may run, the first time included; None: as the server's default says."""
    retry_on: _Kinds | None = None
    """What it runs again after; None: as the server's default says."""
    backoff_seconds: Annotated[float, Field(ge=0, le=MAX_BACKOFF_SECONDS)] | None = None
    """How long the second attempt waits; each further one waits twice as long, up to an hour."""
    wait_seconds: WaitSeconds = 0.0
    """How long to hold the reply while the execution has not ended; it then has the record."""


class ExecuteRequest(ExecuteHead):
    """Run a task. Answered by ``accepted``; asking again with the same id is safe."""

    task: JsonObject
    """The application's own."""
    config: JsonObject | None = None
    """The application's own."""

    @classmethod
    def from_trusted_json(cls, frame: bytes) -> Self:
        """Return the request in a frame that was checked before, without a second check.

        Of a frame that is longer than `MAX_REQUEST_BYTES` the task and the config were not parsed
        before: they are checked here.

        Raises:
            ValidationError: the frame lacks what every request has, or its task or config is
                invalid.
        """
        if len(frame) > MAX_REQUEST_BYTES:
            return cls.model_validate_json(frame)
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


class UnparsedExecute(ExecuteHead):
    """A validated head, with a task and a config that are too large to be parsed by a server.

    Both are known to be JSON objects in UTF-8. What a parser alone can find is a number that is out
    of range, and a nesting between 200 and about 1,000 levels.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    task_json: memoryview = Field(repr=False)
    """The task as it came: a view into its frame."""
    config_json: memoryview | None = Field(default=None, repr=False)
    """The config as it came; None when it is absent or null."""

    def to_frame(self) -> bytes:
        """Return the `ExecuteRequest` as one frame: the head encoded anew, the rest as it came."""
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
# In the order of the fields; of labels each request has its own.
_BLANK: Final = {name: field.default for name, field in ExecuteRequest.model_fields.items()}
