"""`FakeExecutionServer`: the real protocol on real sockets, and no worker behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from zmqruntime.execution import InMemoryLifecycleEngine, RunnerHost
from zmqruntime.execution.lowlevel import ExecutionSession, Scheduler
from zmqruntime.messages import ErrorReply, Incoming, UnparsedExecute, decode_request
from zmqruntime.testing._version import __version__
from zmqruntime.testing.fake.script import ServerDies
from zmqruntime.testing.fake.scripted_server import ScriptedServer
from zmqruntime.testing.fake.scripted_worker import ScriptedWorker, ScriptedWorkerRunner
from zmqruntime.transport import Caller, ServerSession, TransportMode, ZMQConfig, ZMQServer

__all__ = ["FakeExecutionServer"]


class FakeExecutionServer(ZMQServer, ScriptedServer):
    """A server whose executions do what a test has scripted, in a thread, with no process.

    Queue, lifecycle, replies and events are a real server's own. At the end of a ``with``
    statement `check` is called.

    Args:
        port: the data port; None for the configuration's default.
        host: the TCP address to bind to (giving one means TCP); None for loopback.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: settings that its clients have to share.
        log_file_path: where log records of ``zmqruntime`` are also written, appended.
        cancel_grace_seconds: how long a deaf script goes on after a cancel.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | Literal["ipc", "tcp"] | None = None,
        config: ZMQConfig | None = None,
        log_file_path: Path | str | None = None,
        cancel_grace_seconds: float = 5.0,
    ) -> None:
        ZMQServer.__init__(
            self,
            port,
            host=host,
            transport_mode=transport_mode,
            config=config,
            log_file_path=log_file_path,
        )
        ScriptedServer.__init__(self, self.config.max_message_bytes)
        self._cancel_grace_seconds = cancel_grace_seconds
        self._runner: _ScriptedRunner | None = None

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if error[0] is None:
            self.check()

    def describe_application(self) -> None:
        """Return nothing: a fake stands for any application, whatever a client expects."""

    def make_session(self) -> ServerSession:
        """Return a session whose runner plays the scripts."""
        self._player = ScriptedWorker(self.config.max_message_bytes)
        self._runner = _ScriptedRunner(self)
        return _FakeSession(
            type(self).__name__,
            __version__,
            self.endpoint,
            self.config,
            log_file_path=self._log_file_path,
            describe=self.describe,
            scheduler=Scheduler(
                InMemoryLifecycleEngine(), cancel_grace_seconds=self._cancel_grace_seconds
            ),
            runner=self._runner,
            script=self,
        )

    def _go_on(self) -> None:
        assert self._runner is not None
        self._runner.go_on()


class _FakeSession(ExecutionSession):
    """Asks the script first what becomes of a request."""

    def __init__(self, *args: Any, script: ScriptedServer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._script = script

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
        if isinstance(request, UnparsedExecute):
            request = decode_request(frame)  # A script may look at the task.
        verdict = self._script._admit(request)
        if isinstance(verdict, ErrorReply):
            self.reply(caller, verdict)
        elif verdict is not None:
            super().handle_request(verdict, caller, frame if verdict is request else b"")


class _ScriptedRunner(ScriptedWorkerRunner):
    """Plays one step for each turn of the loop, so that requests come in between."""

    def __init__(self, script: ScriptedServer) -> None:
        super().__init__(self._tell_and_go_on, script._script_of)
        self._script = script
        self._host: RunnerHost

    def open(self, host: RunnerHost) -> None:
        """Take the host's loop."""
        self._host = host

    def go_on(self) -> None:
        """Take the next step soon. For any thread."""
        self._host.loop.post(self._advance)

    def _tell_and_go_on(self, order: Callable[[ScriptedWorker], None]) -> None:
        self._script._tell(order)
        self.go_on()

    def _advance(self) -> None:
        told = self._script._advance()
        if isinstance(told, ServerDies):
            self._host.loop.stop()
        elif told is not None:
            self._host.emit(told)
            self.go_on()
