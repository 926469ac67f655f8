"""`Script`: the steps that a fake performs for one execution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from zmqruntime.execution import ProgressReporter
from zmqruntime.messages import ErrorKind, ExecuteRequest, ExecutionErrorInfo, JsonObject, JsonValue
from zmqruntime.messages.lowlevel import decode_errors, encode_json

__all__ = [
    "Complete",
    "Fail",
    "NeverEnd",
    "Pause",
    "Progress",
    "Script",
    "ServerDies",
    "Step",
    "WorkerDies",
    "Writer",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """The task reports progress: a JSON object without the fields that a server adds."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """The script waits for `step`."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The task returns, as encoded JSON."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Fail:
    """The task fails."""

    error: ExecutionErrorInfo


@dataclass(frozen=True, slots=True)
class NeverEnd:
    """The task runs until it is interrupted; a deaf one until its worker is killed."""

    deaf: bool


@dataclass(frozen=True, slots=True)
class WorkerDies:
    """The worker process dies while it runs the task."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class ServerDies:
    """The server dies without sending replies or events."""


_End = Complete | Fail | NeverEnd | WorkerDies | ServerDies
Step = Progress | Pause | _End


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one execution: ``Script().progress(1, 2).complete("done")``.

    Immutable: each method returns a new script with one more step. The last step ends it.
    """

    steps: tuple[Step, ...] = ()

    def progress(
        self,
        completed: float | None = None,
        total: float | None = None,
        *,
        phase: str | None = None,
        message: str | None = None,
        data: JsonObject | None = None,
    ) -> Script:
        """Report progress, as `ExecutionContext.report_progress` does."""
        bodies: list[bytes] = []
        ProgressReporter(_NoLink(), bodies.append).report(completed, total, phase, message, data)
        return self._append(Progress(bodies[0]))

    def pause(self) -> Script:
        """Wait for ``fake.step()`` or a cancel."""
        return self._append(Pause())

    def complete(self, result: JsonValue = None) -> Script:
        """Complete with a result, any JSON value."""
        return self._append(Complete(encode_json(result, "result")))

    def fail(
        self,
        message: str,
        *,
        kind: ErrorKind | str = ErrorKind.EXCEPTION,
        type: str | None = "RuntimeError",
        traceback: str | None = None,
    ) -> Script:
        """Fail with an error; the fields are those of `ExecutionErrorInfo`.

        Raises:
            DecodeError: ``kind`` is unknown.
        """
        error = {
            "kind": kind,
            "message": message,
            "type": type if kind == ErrorKind.EXCEPTION else None,
            "traceback": traceback,
        }
        with decode_errors("error"):
            return self._append(Fail(ExecutionErrorInfo.model_validate(error, strict=False)))

    def never_end(self, *, deaf: bool = False) -> Script:
        """Run until a cancel; if ``deaf``, until the end of the server's grace period."""
        return self._append(NeverEnd(deaf))

    def worker_dies(self, exit_code: int = -9) -> Script:
        """Let the worker process die; a negative exit code is a signal, as in `subprocess`.

        The server starts another worker.
        """
        return self._append(WorkerDies(exit_code))

    def server_dies(self) -> Script:
        """Let the server die without sending pending replies or events."""
        return self._append(ServerDies())

    def by_hand(self) -> Script:
        """Return this script with a pause before each of its steps."""
        steps = [part for step in self.steps for part in (Pause(), step)]
        return replace(self, steps=tuple(steps))

    @property
    def has_end(self) -> bool:
        """Whether the last step ends the execution."""
        return bool(self.steps) and isinstance(self.steps[-1], _End)

    def _append(self, step: Step) -> Script:
        if self.has_end:
            raise ValueError(
                f"cannot add {step} to a script that ends with {self.steps[-1]}: add it before the "
                "end, and write a script for each execution"
            )
        return replace(self, steps=(*self.steps, step))


Writer = Callable[[ExecuteRequest], Script]
"""Returns the script for a request."""


class _NoLink:
    """A link for a reporter that has no child processes."""

    def open(self) -> Callable[[bytes], None]:
        raise NotImplementedError
