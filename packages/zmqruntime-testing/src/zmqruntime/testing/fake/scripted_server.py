"""`ScriptedServer`: the scripts, refusals and recorded requests of a fake. Thread-safe."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from zmqruntime.execution import RunnerEvent
from zmqruntime.messages import ErrorCode, ErrorReply, ExecuteRequest, Request
from zmqruntime.messages.lowlevel import decode_errors
from zmqruntime.testing.errors import ScriptMismatch, check_open
from zmqruntime.testing.fake.script import Script, ServerDies, Writer
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker, ScriptState
from zmqruntime.transport.lowlevel import check_number, check_type

__all__ = ["RequestType", "ScriptedServer"]

_R = TypeVar("_R", bound=Request)

RequestType = Literal[
    "ping",
    "execute",
    "status",
    "cancel",
    "events",
    "log_tail",
    "register_progress",
    "unregister_progress",
    "shutdown",
]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A reply that replaces the handling of a request; None to ignore the request."""

    reply: ErrorReply | None

    def __str__(self) -> str:
        return "ignore" if self.reply is None else f"reject with {self.reply.code}"


class ScriptedServer(ABC):
    """Base of the fakes: a test sets scripts and refusals, and reads the requests."""

    def __init__(self, max_message_bytes: int) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._worker = ScriptedWorker(max_message_bytes)
        self._planned: deque[Script] = deque()
        self._always: Writer | None = None
        self._scripts: dict[str, Script] = {}
        self._refusals: dict[RequestType, deque[_Refusal]] = {t: deque() for t in _TYPES}
        self._permanent_refusals: dict[RequestType, _Refusal] = {}
        self._requests: list[Request] = []
        self._complaints: list[str] = []

    # -- scripts and refusals -----------------------------------------------------------------

    def plan(self, *scripts: Script) -> None:
        """Set the scripts of the next executions, one for each, in this command.

        Raises:
            TypeError: an argument is not a `Script`.
            ValueError: a script has no end.
        """
        self._check_open()
        for script in scripts:
            check_type("a script", script, Script)
            _check_end(script)
        with self._changed:
            self._planned.extend(scripts)

    def always(self, script: Script | Writer) -> None:
        """Set the script of every execution that has no planned one.

        Args:
            script: one for all, or a function that returns one for a request. If the function
                raises, the request is rejected and `check` reports it.
        """
        self._check_open()
        if isinstance(script, Script):
            _check_end(same := script)
            self._always = lambda request: same
        elif not callable(script):
            raise TypeError(
                f"always() takes a Script, or a function that returns one, not {script!r}"
            )
        else:
            self._always = script

    def reject(
        self,
        code: ErrorCode | str,
        message: str = "the test wants it so",
        *,
        request: RequestType = "execute",
        times: int | None = 1,
    ) -> None:
        """Reject the next ``times`` requests of a type; None for all from now on.

        Raises:
            DecodeError: ``code`` is unknown.
        """
        with decode_errors("error reply"):
            fields = {"code": code, "message": message}
            reply = ErrorReply.model_validate(fields, strict=False)
        self._refuse(request, times, _Refusal(reply))

    def ignore(self, request: RequestType = "execute", *, times: int | None = 1) -> None:
        """Ignore the next ``times`` requests of a type; None for all from now on.

        A client retries after its ``retry_interval``, until its timeout.
        """
        self._refuse(request, times, _Refusal(None))

    def step(self, timeout: float = 10.0) -> None:
        """Continue a paused script up to its next pause or its end.

        Waits until a script is paused, and until the step is done.

        Raises:
            ScriptMismatch: no script is paused within ``timeout`` seconds.
        """
        self._check_open()
        with self._changed:
            self._await_state(ScriptState.PAUSED, timeout)
            self._worker.resume()
        self._resume()
        with self._changed:
            if not self._changed.wait_for(self._is_idle, timeout):
                raise ScriptMismatch(
                    f"step() timed out: the script is still running after {timeout:g} s"
                )

    # -- recorded requests --------------------------------------------------------------------

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests so far, in command, including retries."""
        self._check_open()
        with self._changed:
            return tuple(self._requests)

    def asked(self, kind: type[_R]) -> list[_R]:
        """Return the requests of one class so far: ``fake.asked(ExecuteRequest)``."""
        check_type("kind", kind, type)
        return [request for request in self.requests if isinstance(request, kind)]

    def await_request(self, kind: type[_R], *, count: int = 1, timeout: float = 10.0) -> _R:
        """Wait for ``count`` requests of a class, and return the last of them.

        Raises:
            ScriptMismatch: fewer arrive within ``timeout`` seconds.
        """
        self._check_open()
        check_number("count", count, ge=1, whole=True)
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.asked(kind)) >= count, timeout):
                received = ", ".join(r.type for r in self._requests) or "none"
                raise ScriptMismatch(
                    f"expected {count} {kind.__name__} within {timeout:g} s, received "
                    f"{len(self.asked(kind))}; requests so far: {received}"
                )
            return self.asked(kind)[count - 1]

    def check(self) -> None:
        """Check that the requests matched the scripts and refusals.

        The fixtures and ``with`` statements do so at the end.

        Raises:
            ScriptMismatch: lists unused scripts and refusals, and unexpected executions.
        """
        self._check_open()
        with self._changed:
            complaints = [*self._complaints, *self._find_unused()]
        if complaints:
            raise ScriptMismatch("\n".join(complaints))

    # -- for subclasses -------------------------------------------------------------------------

    @abstractmethod
    def _resume(self) -> None:
        """Make the scripted worker advance."""

    def _admit(self, request: Request) -> Request | ErrorReply | None:
        """Record a request; return it, or the reply that replaces it, or None to ignore it."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            if self._refusals[request.type]:
                return self._refusals[request.type].popleft().reply
            if request.type in self._permanent_refusals:
                return self._permanent_refusals[request.type].reply
            return self._assign_script(request) if isinstance(request, ExecuteRequest) else request

    def _script_of(self, execution_id: str) -> Script:
        with self._changed:
            return self._scripts[execution_id]

    def _command_worker(self, command: Callable[[ScriptedWorker], None]) -> None:
        """Apply a command to the worker; its events are returned by `_advance`."""
        with self._changed:
            command(self._worker)
            self._changed.notify_all()

    def _advance(self) -> RunnerEvent | ServerDies | None:
        with self._changed:
            event = self._worker.advance()
            self._changed.notify_all()
            return event

    def _assign_script(self, request: ExecuteRequest) -> ExecuteRequest | ErrorReply:
        """Assign a script to an execution."""
        if request.execution_id in self._scripts:
            return request  # A retry or duplicate.
        if self._planned:
            script = self._planned.popleft()
        elif self._always is not None:
            try:
                script = self._always(request)
                _check_end(script)
            except Exception as error:  # noqa: BLE001 - raised by `check`, in the test
                return self._complain(
                    f"the function given to fake.always() returned no script for {request.task}: "
                    f"{error!r}"
                )
        else:
            return self._complain(
                f"the fake has no script for the task {request.task} ({len(self._scripts)} "
                "executions had one): call fake.plan(Script()...) once for each execution, or "
                "fake.always(Script()...)"
            )
        execution_id = request.execution_id or uuid.uuid4().hex
        self._scripts[execution_id] = script
        return request.model_copy(update={"execution_id": execution_id})

    def _complain(self, complaint: str) -> ErrorReply:
        """Record a complaint for `check`, and return it as an error reply."""
        self._complaints.append(complaint)
        return ErrorReply(code=ErrorCode.INTERNAL, message=complaint)

    def _refuse(self, request: RequestType, times: int | None, refusal: _Refusal) -> None:
        self._check_open()
        if request not in self._refusals:
            raise ValueError(f"unknown request type {request!r}: use one of {', '.join(_TYPES)}")
        check_number("times", times, ge=1, whole=True, optional=True)
        with self._changed:
            if times is None:
                self._permanent_refusals[request] = refusal
            else:
                self._refusals[request].extend([refusal] * times)

    def _find_unused(self) -> list[str]:
        unused = [
            f"unused refusals: {len(refusals)} {request} requests to {refusals[0]}"
            for request, refusals in self._refusals.items()
            if refusals
        ]
        if self._planned:
            unused.append(
                f"unused scripts: {len(self._planned)} of "
                f"{len(self._planned) + len(self._scripts)}; the next is {self._planned[0]}"
            )
        return [f"{what}: remove it, or find out why the request was not sent" for what in unused]

    def _await_state(self, state: ScriptState, timeout: float) -> None:
        if not self._changed.wait_for(lambda: self._worker.state is state, timeout):
            raise ScriptMismatch(
                f"step() found no paused script within {timeout:g} s: "
                f"{self._worker.state.value}; add pause() to the script, and submit the execution "
                "before step()"
            )

    def _is_idle(self) -> bool:
        return self._worker.state is not ScriptState.RUNNING

    def _check_open(self) -> None:
        check_open(self._closed, f"this {type(self).__name__}")


_TYPES: tuple[RequestType, ...] = get_args(RequestType)


def _check_end(script: Script) -> None:
    if not script.has_end:
        raise ValueError(
            f"{script} has no end: add complete(), fail(), never_end(), worker_dies() or "
            "server_dies()"
        )
