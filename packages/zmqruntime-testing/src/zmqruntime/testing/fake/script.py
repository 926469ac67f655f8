"""What a fake does with one execution, written down before it happens."""

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
    """Nothing happens until the test says `step`."""


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
    """The task runs until it is told to stop; a deaf one until its worker is ended."""

    deaf: bool


@dataclass(frozen=True, slots=True)
class WorkerDies:
    """The worker process ends under the task."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class ServerDies:
    """The server is gone without a word."""


_End = Complete | Fail | NeverEnd | WorkerDies | ServerDies
Step = Progress | Pause | _End


@dataclass(frozen=True, slots=True)
class Script:
    """The life of one execution, step by step: ``Script().progress(1, 2).complete("done")``.

    A value: each method returns a new script, with one step more. The last step is an end.
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
        ProgressReporter(_Nowhere(), bodies.append).report(completed, total, phase, message, data)
        return self._then(Progress(bodies[0]))

    def pause(self) -> Script:
        """Wait until the test says ``fake.step()``, or a cancel comes."""
        return self._then(Pause())

    def complete(self, result: JsonValue = None) -> Script:
        """Complete with a result: any JSON value."""
        return self._then(Complete(encode_json(result, "result")))

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
            DecodeError: there is no such kind.
        """
        error = {
            "kind": kind,
            "message": message,
            "type": type if kind == ErrorKind.EXCEPTION else None,
            "traceback": traceback,
        }
        with decode_errors("error"):
            return self._then(Fail(ExecutionErrorInfo.model_validate(error, strict=False)))

    def never_end(self, *, deaf: bool = False) -> Script:
        """Run until it is cancelled; a ``deaf`` one until the server's grace period is over."""
        return self._then(NeverEnd(deaf))

    def worker_dies(self, exit_code: int = -9) -> Script:
        """Let the worker process end under the task; negative for a signal, as in `subprocess`.

        The server starts another one, and goes on.
        """
        return self._then(WorkerDies(exit_code))

    def server_dies(self) -> Script:
        """Let the server end without a word: no reply that is owed, no last event."""
        return self._then(ServerDies())

    def by_hand(self) -> Script:
        """Return this script with a pause before each of its steps."""
        steps = [part for step in self.steps for part in (Pause(), step)]
        return replace(self, steps=tuple(steps))

    @property
    def has_end(self) -> bool:
        """Whether it says how the execution ends."""
        return bool(self.steps) and isinstance(self.steps[-1], _End)

    def _then(self, step: Step) -> Script:
        if self.has_end:
            raise ValueError(
                f"this script has ended with {self.steps[-1]} and goes on with {step}: put what "
                "happens first before what ends it, and write a script for each execution"
            )
        return replace(self, steps=(*self.steps, step))


Writer = Callable[[ExecuteRequest], Script]
"""Writes the script for a request when it comes."""


class _Nowhere:
    """A script reports in no other process."""

    def open(self) -> Callable[[bytes], None]:
        raise NotImplementedError
