"""`FakeExecutionServer`: a fake on sockets, without a worker process."""

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
    """A server that runs scripts in its thread instead of tasks in a worker process.

    Queue, lifecycle, replies and events are those of a real server. `check` is called at the end
    of a ``with`` statement.

    Args:
        port: the data port; None for the configuration's default.
        host: the TCP address to bind to (setting it selects TCP); None for loopback.
        transport_mode: None for IPC where the platform supports it, else TCP.
        config: the configuration that it shares with its clients.
        log_file_path: a file to which log records of ``zmqruntime`` are appended.
        cancel_grace_seconds: grace period before a deaf script is killed.
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
        self._runner: _LoopDrivenRunner | None = None

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if error[0] is None:
            self.check()

    def describe_application(self) -> None:
        """Return None: a fake replaces any application that a client expects."""

    def make_session(self) -> ServerSession:
        """Return a session whose runner runs the scripts."""
        self._worker = ScriptedWorker(self.config.max_message_bytes)
        self._runner = _LoopDrivenRunner(self)
        return _FakeSession(
            type(self).__name__,
            __version__,
            self.endpoint,
            self.config,
            log_file_path=self.log_file_path,
            describe=self.describe,
            scheduler=Scheduler(
                InMemoryLifecycleEngine(), cancel_grace_seconds=self._cancel_grace_seconds
            ),
            runner=self._runner,
            script=self,
        )

    def _resume(self) -> None:
        assert self._runner is not None
        self._runner.resume()


class _FakeSession(ExecutionSession):
    """Applies refusals and scripts of the test before a request is handled."""

    def __init__(self, *args: Any, script: ScriptedServer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._script = script

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
        if isinstance(request, UnparsedExecute):
            request = decode_request(frame)  # A script writer may read the task.
        admitted = self._script._admit(request)
        if isinstance(admitted, ErrorReply):
            self.reply(caller, admitted)
        elif admitted is not None:
            super().handle_request(admitted, caller, frame if admitted is request else b"")


class _LoopDrivenRunner(ScriptedWorkerRunner):
    """Runs one step per iteration of the loop, so that requests are handled in between."""

    def __init__(self, script: ScriptedServer) -> None:
        super().__init__(self._command_and_resume, script._script_of)
        self._script = script
        self._host: RunnerHost

    def open(self, host: RunnerHost) -> None:
        """Keep the host, for its loop."""
        self._host = host

    def resume(self) -> None:
        """Post the next step to the loop. Thread-safe."""
        self._host.loop.post(self._advance)

    def _command_and_resume(self, order: Callable[[ScriptedWorker], None]) -> None:
        self._script._command_worker(order)
        self.resume()

    def _advance(self) -> None:
        event = self._script._advance()
        if isinstance(event, ServerDies):
            self._host.loop.stop()
        elif event is not None:
            self._host.emit(event)
            self.resume()
