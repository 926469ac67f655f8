"""What a test says to a fake server, and what it reads from it. From any thread."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from zmqruntime.execution import RunnerEvent
from zmqruntime.messages import ErrorCode, ErrorReply, ExecuteRequest, Request, explaining
from zmqruntime.testing.errors import ScriptMismatch, check_open
from zmqruntime.testing.fake.script import Script, ServerDies, Writer
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker, ScriptState
from zmqruntime.transport import check_kind, check_number

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
    """What a fake says to one request instead of what it asks for; None: nothing at all."""

    reply: ErrorReply | None

    def __str__(self) -> str:
        return "ignore" if self.reply is None else f"reject with {self.reply.code}"


class ScriptedServer(ABC):
    """The part of a fake server that its test holds: told what to do, and asked what it saw."""

    def __init__(self, max_message_bytes: int) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._player = ScriptedWorker(max_message_bytes)
        self._planned: deque[Script] = deque()
        self._always: Writer | None = None
        self._scripts: dict[str, Script] = {}
        self._refusals: dict[RequestType, deque[_Refusal]] = {t: deque() for t in _TYPES}
        self._from_now_on: dict[RequestType, _Refusal] = {}
        self._requests: list[Request] = []
        self._complaints: list[str] = []

    # -- told by the test ---------------------------------------------------------------------

    def plan(self, *scripts: Script) -> None:
        """Say what becomes of the next executions, one script for each, in this order.

        Raises:
            TypeError: one of them is no script.
            ValueError: a script does not say how its execution ends.
        """
        self._check_open()
        for script in scripts:
            check_kind("a script", script, Script)
            _check_end(script)
        with self._changed:
            self._planned.extend(scripts)

    def always(self, script: Script | Writer) -> None:
        """Say what becomes of every execution for which nothing is planned.

        Args:
            script: one for all, or what writes one for a request. If a writer raises, the
                request is refused and `check` says why.
        """
        self._check_open()
        if isinstance(script, Script):
            _check_end(same := script)
            self._always = lambda request: same
        elif not callable(script):
            raise TypeError(f"always() takes a Script, or what writes one, not {script!r}")
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
        """Refuse the next ``times`` requests of a type; None: all from now on.

        Raises:
            DecodeError: there is no such code.
        """
        with explaining("error reply"):
            fields = {"code": code, "message": message}
            reply = ErrorReply.model_validate(fields, strict=False)
        self._refuse(request, times, _Refusal(reply))

    def ignore(self, request: RequestType = "execute", *, times: int | None = 1) -> None:
        """Give the next ``times`` requests of a type no reply; None: all from now on.

        A client asks again after its ``retry_interval``, until its time is up.
        """
        self._refuse(request, times, _Refusal(None))

    def step(self, timeout: float = 10.0) -> None:
        """Let a script go on behind its pause, to the next one or to its end.

        Waits until a script is paused, and until it has gone on.

        Raises:
            ScriptMismatch: none is paused within ``timeout`` seconds.
        """
        self._check_open()
        with self._changed:
            self._await(ScriptState.PAUSED, timeout)
            self._player.resume()
        self._go_on()
        with self._changed:
            if not self._changed.wait_for(self._is_at_rest, timeout):
                raise ScriptMismatch(f"the script did not come to rest within {timeout:g} s")

    # -- asked by the test --------------------------------------------------------------------

    @property
    def requests(self) -> tuple[Request, ...]:
        """All that was asked so far, in order, tries that were repeated included."""
        self._check_open()
        with self._changed:
            return tuple(self._requests)

    def asked(self, kind: type[_R]) -> list[_R]:
        """Return what was asked so far of one kind: ``fake.asked(ExecuteRequest)``."""
        check_kind("kind", kind, type)
        return [request for request in self.requests if isinstance(request, kind)]

    def await_request(self, kind: type[_R], *, count: int = 1, timeout: float = 10.0) -> _R:
        """Wait until there have been ``count`` requests of a kind, and return the last of them.

        Raises:
            ScriptMismatch: there have not within ``timeout`` seconds.
        """
        self._check_open()
        check_number("count", count, least=1, whole=True)
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.asked(kind)) >= count, timeout):
                asked = ", ".join(r.type for r in self._requests) or "nothing"
                raise ScriptMismatch(
                    f"{count} {kind.__name__} were awaited for {timeout:g} s and "
                    f"{len(self.asked(kind))} came; the fake was asked: {asked}"
                )
            return self.asked(kind)[count - 1]

    def check(self) -> None:
        """Make sure that it was asked for all that it was told, and for nothing else.

        The fixtures and ``with`` statements do so at the end.

        Raises:
            ScriptMismatch: says what was too much, or too little.
        """
        self._check_open()
        with self._changed:
            complaints = [*self._complaints, *self._leftovers()]
        if complaints:
            raise ScriptMismatch("\n".join(complaints))

    # -- for the shells -------------------------------------------------------------------------

    @abstractmethod
    def _go_on(self) -> None:
        """Have the player advance, soon."""

    def _admit(self, request: Request) -> Request | ErrorReply | None:
        """Return the request to take, or what to reply instead; None: no reply at all."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            if self._refusals[request.type]:
                return self._refusals[request.type].popleft().reply
            if request.type in self._from_now_on:
                return self._from_now_on[request.type].reply
            return self._cast(request) if isinstance(request, ExecuteRequest) else request

    def _script_of(self, execution_id: str) -> Script:
        with self._changed:
            return self._scripts[execution_id]

    def _tell(self, order: Callable[[ScriptedWorker], None]) -> None:
        """Give the player an order; what it has to tell then comes by `_advance`."""
        with self._changed:
            order(self._player)
            self._changed.notify_all()

    def _advance(self) -> RunnerEvent | ServerDies | None:
        with self._changed:
            told = self._player.advance()
            self._changed.notify_all()
            return told

    def _cast(self, request: ExecuteRequest) -> ExecuteRequest | ErrorReply:
        """Give an execution its script."""
        if request.execution_id in self._scripts:
            return request  # Asked again.
        if self._planned:
            script = self._planned.popleft()
        elif self._always is not None:
            try:
                script = self._always(request)
                _check_end(script)
            except Exception as error:  # noqa: BLE001 - raised by `check`, in the test
                return self._complain(
                    f"the writer given to fake.always() wrote no script for {request.task}: "
                    f"{error!r}"
                )
        else:
            return self._complain(
                f"the fake was asked to execute {request.task} and was not told what becomes of "
                f"that ({len(self._scripts)} executions before it were): call "
                "fake.plan(Script()...) once for each execution, or fake.always(Script()...)"
            )
        execution_id = request.execution_id or uuid.uuid4().hex
        self._scripts[execution_id] = script
        return request.model_copy(update={"execution_id": execution_id})

    def _complain(self, complaint: str) -> ErrorReply:
        """Keep it for `check`, and return it for the client."""
        self._complaints.append(complaint)
        return ErrorReply(code=ErrorCode.INTERNAL, message=complaint)

    def _refuse(self, request: RequestType, times: int | None, refusal: _Refusal) -> None:
        self._check_open()
        if request not in self._refusals:
            raise ValueError(f"there is no {request!r} request: say one of {', '.join(_TYPES)}")
        check_number("times", times, least=1, whole=True, optional=True)
        with self._changed:
            if times is None:
                self._from_now_on[request] = refusal
            else:
                self._refusals[request].extend([refusal] * times)

    def _leftovers(self) -> list[str]:
        left = [
            f"{len(refusals)} {request} requests that the fake was to {refusals[0]} never came"
            for request, refusals in self._refusals.items()
            if refusals
        ]
        if self._planned:
            left.append(
                f"{len(self._planned)} planned scripts were never asked for, of "
                f"{len(self._planned) + len(self._scripts)}; the next is {self._planned[0]}"
            )
        return [f"{what}: take it out, or find out why the test did not ask" for what in left]

    def _await(self, state: ScriptState, timeout: float) -> None:
        if not self._changed.wait_for(lambda: self._player.state is state, timeout):
            raise ScriptMismatch(
                f"step() waited {timeout:g} s for a script that is paused, and "
                f"{self._player.state.value}: put pause() where the test is to go on by hand, "
                "and submit the execution first"
            )

    def _is_at_rest(self) -> bool:
        return self._player.state is not ScriptState.RUNNING

    def _check_open(self) -> None:
        check_open(self._closed, f"this {type(self).__name__}")


_TYPES: tuple[RequestType, ...] = get_args(RequestType)


def _check_end(script: Script) -> None:
    if not script.has_end:
        raise ValueError(
            f"{script} does not say how the execution ends: add complete(), fail(), never_end(), "
            "worker_dies() or server_dies()"
        )
