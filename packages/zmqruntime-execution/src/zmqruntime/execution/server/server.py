"""`ExecutionServer`, the base class of an application's server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zmqruntime.execution._version import __version__
from zmqruntime.execution.journal.location import (
    JournalChoice,
    choose_journal,
    default_journal_path,
    make_journal_dir,
)
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.execution.lifecycle.retry import RestartPolicy, RetryPolicy
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.messages import ExecuteRequest
from zmqruntime.transport import TransportMode, ZMQConfig, ZMQServer

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.engine import LifecycleEngine
    from zmqruntime.execution.runner import TaskRunner
    from zmqruntime.messages import WorkerInfo
    from zmqruntime.transport import ServerSession

__all__ = ["ExecutionServer"]


# A worker imports this module, too: what only a server needs is imported by the methods that use
# it, for a faster start.
class ExecutionServer(ZMQServer, ABC):
    """Queues executions and runs them one at a time, in order, in a worker process.

    An application derives from it. The server object is pickled and sent to the worker, where
    `setup_worker` and `execute_task` run; so ``__init__`` opens nothing, and the class has to be
    importable there: defined in a module or a script, not in a notebook.

    Args:
        port: the data port; None for the configuration's default.
        host: the TCP address to bind to, which implies TCP; None for loopback.
        transport_mode: by default IPC where the platform has it.
        config: settings that its clients have to share.
        log_file_path: a file to which log records of ``zmqruntime`` are also appended.
        max_queued: how many executions may be queued; further ones are rejected. None: any number.
        max_queued_bytes: how many bytes the queued requests may have together; further ones are
            rejected, except one in an empty queue. None: any number.
        history_limit: how many read records of ended executions are kept; a record is read when a
            reply with it was sent to any client. 0: no record is kept, read or not.
        history_seconds: the age limit of records, read or not, from the end of the execution;
            checked when others end. None: any age.
        history_bytes: how many bytes read records may have together, results included.
        unread_limit: how many unread records are kept. Beyond, the oldest is evicted: only its
            status, its times and its error are left, and its result is `ResultDropped`.
        unread_bytes: how many bytes unread records may have together, results included.
        cancel_grace_seconds: how long an interrupted task may take to clean up before its worker
            process is killed.
        journal: the file in which executions outlive the server, in an existing directory; True:
            one in the user's data directory, named after the class and the port; None and False:
            executions live as long as the server. A launcher or a command line overrides it.
        on_restart: with a journal, what becomes of a running execution when the server ends or
            dies: ``"fail"``, or ``"requeue"`` to run it again, up to 20 times in all.
        queue_policy: the order of the queue: ``"fifo"``, or ``"fair"`` for turns between clients.
        retry: the default for executions whose request does not set it; None: no retries.
        events_kept: how many of each execution's latest events are buffered, for subscribers that
            missed some.
        max_log_bytes: how much of a task's stdout and stderr is kept, the newest; 0: nothing, and
            the output goes where the server's own does.

    Raises:
        TypeError: an argument has the wrong type; the error names it.
        ValueError: an argument is out of range, or not one of its words.
        EndpointError: the port is out of range, or the socket path is too long.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        host: str | None = None,
        transport_mode: TransportMode | Literal["ipc", "tcp"] | None = None,
        config: ZMQConfig | None = None,
        log_file_path: Path | str | None = None,
        max_queued: int | None = None,
        max_queued_bytes: int | None = 1024 * 1024 * 1024,
        history_limit: int = 1000,
        history_seconds: float | None = None,
        history_bytes: int = 256 * 1024 * 1024,
        unread_limit: int = 250_000,
        unread_bytes: int = 1024 * 1024 * 1024,
        cancel_grace_seconds: float = 5.0,
        journal: JournalChoice = None,
        on_restart: RestartPolicy | Literal["fail", "requeue"] = RestartPolicy.FAIL,
        queue_policy: QueuePolicy | Literal["fifo", "fair"] = QueuePolicy.FIFO,
        retry: RetryPolicy | None = None,
        events_kept: int = 1000,
        max_log_bytes: int = 1024 * 1024,
    ) -> None:
        super().__init__(
            port,
            host=host,
            transport_mode=transport_mode,
            config=config,
            log_file_path=log_file_path,
        )
        from zmqruntime.transport.lowlevel import check_number, check_type, parse_choice

        check_number("max_queued", max_queued, ge=0, whole=True, optional=True)
        check_number("max_queued_bytes", max_queued_bytes, ge=0, whole=True, optional=True)
        check_number("history_limit", history_limit, ge=0, whole=True)
        check_number("history_seconds", history_seconds, ge=0, optional=True)
        check_number("history_bytes", history_bytes, ge=0, whole=True)
        check_number("unread_limit", unread_limit, ge=1, whole=True)
        check_number("unread_bytes", unread_bytes, ge=0, whole=True)
        check_number("cancel_grace_seconds", cancel_grace_seconds, ge=0)
        check_type("journal", journal, Path, str, bool, optional=True)
        check_type("retry", retry, RetryPolicy, optional=True)
        check_number("events_kept", events_kept, ge=0, whole=True)
        check_number("max_log_bytes", max_log_bytes, ge=0, whole=True)
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._history_limit = history_limit
        self._history_seconds = history_seconds
        self._history_bytes = history_bytes
        self._unread_limit = unread_limit
        self._unread_bytes = unread_bytes
        self._cancel_grace_seconds = cancel_grace_seconds
        self.journal: Path | None = None
        """The file in which executions outlive the server, if there is one."""
        self.choose_journal(journal)
        self._on_restart = parse_choice("on_restart", on_restart, RestartPolicy)
        self._queue_policy = parse_choice("queue_policy", queue_policy, QueuePolicy)
        self._retry = retry
        self._events_kept = events_kept
        self._max_log_bytes = max_log_bytes

    @property
    def cancel_grace_seconds(self) -> float:
        """How long an interrupted task may take to clean up, before its worker is killed."""
        return self._cancel_grace_seconds

    def choose_journal(self, choice: JournalChoice) -> None:
        """Set the journal, before the start; None leaves it unchanged."""
        self.journal = choose_journal(choice, self.journal, default=self._default_journal)

    def _default_journal(self) -> Path:
        from zmqruntime.transport.lowlevel import name_class

        return default_journal_path(self.config.app_name, name_class(type(self)), self.port)

    @abstractmethod
    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> Any:
        """Execute one task and return its result.

        Runs in the worker process, in its main thread. ``request.task`` and ``request.config`` are
        what the client submitted; ``context`` reports progress and has the cancel flag. An
        exception fails this execution only.

        Returns:
            Anything that `serialize_result` and `to_json_value` turn into JSON: None, numbers,
            strings, lists, dicts, dates, dataclasses, pydantic models, numpy's numbers and small
            arrays.
        """

    def serialize_result(self, result: Any) -> Any:
        """Return the JSON value of a result, by default ``result`` itself. May be overridden.

        The counterpart of a client's ``serialize_task``; runs in the worker process, after
        `execute_task`. The returned value is converted by `to_json_value`. An exception fails the
        execution as ``unserializable_result``, with the ``repr()`` of the result in the record.
        """
        return result

    def setup_worker(self) -> None:
        """Prepare a new worker process, once, before its first task: open files, load models.

        Attributes set on ``self`` are there for every task of this process. The server is ready
        when this returns. An exception at the server's start ends the server with `WorkerFailed`.
        """

    def make_engine(self) -> LifecycleEngine:
        """Return a new lifecycle engine, for one run of this server. May be overridden."""
        from zmqruntime.execution.lifecycle.history import HistoryLimits

        limits = HistoryLimits(
            history_limit=self._history_limit,
            history_bytes=self._history_bytes,
            history_seconds=self._history_seconds,
            unread_limit=self._unread_limit,
            unread_bytes=self._unread_bytes,
        )
        policy = self._queue_policy
        if self.journal is None:
            from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine

            return InMemoryLifecycleEngine(queue_policy=policy, limits=limits)
        from zmqruntime.execution.journal.durable_engine import JournalLifecycleEngine

        make_journal_dir(self.journal, self.config.app_name)
        return JournalLifecycleEngine(self.journal, queue_policy=policy, limits=limits)

    def make_runner(self) -> TaskRunner:
        """Return a new task runner, for one run of this server. May be overridden."""
        from zmqruntime.execution.worker.parent.process_runner import WorkerProcessRunner

        return WorkerProcessRunner(self, self._max_log_bytes, self.journal)

    def list_workers(self) -> tuple[WorkerInfo, ...]:
        """Return the worker processes of the current run; none when the server does not run.

        From any thread, without waiting for the server's loop, which may be blocked.
        """
        from zmqruntime.execution.server.session import ExecutionSession

        run = self._run
        if run is None or not isinstance(run.session, ExecutionSession):
            return ()
        return run.session.list_workers()

    def start(self) -> None:
        """Serve in a thread of the server's own; return when its first worker is ready.

        Raises:
            WorkerFailed: the first worker did not get ready, as when `setup_worker` raised; the
                message has the reason. The server has ended, and may be started again.
            AddressInUse, EndpointError, TooManyOpenFiles, RuntimeError: as of `ZMQServer.start`.
        """
        super().start()
        self.wait_until_settled()

    def make_session(self) -> ServerSession:
        """Return the session of one run, with what `make_engine` and `make_runner` return."""
        from zmqruntime.execution.core.event_log import EventLog
        from zmqruntime.execution.core.scheduler import Scheduler
        from zmqruntime.execution.server.session import ExecutionSession
        from zmqruntime.execution.worker.parent.starting_worker import drop_prestarted

        if self.journal is not None:
            from zmqruntime.execution.journal.preflight import check_journal_dir

            check_journal_dir(self.journal)
        runner = self.make_runner()  # First: it may raise, and an engine would have to be closed.
        drop_prestarted()  # A runner of another kind does not use it.
        return ExecutionSession(
            type(self).__name__,
            __version__,
            self.endpoint,
            self.config,
            log_file_path=self.log_file_path,
            describe=self.describe,
            application=self.describe_application(),
            scheduler=Scheduler(
                self.make_engine(),
                max_queued=self._max_queued,
                max_queued_bytes=self._max_queued_bytes,
                cancel_grace_seconds=self._cancel_grace_seconds,
                retry=self._retry,
                on_restart=self._on_restart,
                events=EventLog(self._events_kept),
                name_log=runner.name_log,
            ),
            runner=runner,
        )
