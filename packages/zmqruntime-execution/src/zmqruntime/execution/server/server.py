"""`ExecutionServer`: an application derives from it and says what a task does."""

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
from zmqruntime.execution.lifecycle.retry import RestartPolicy
from zmqruntime.execution.worker.bootstrap import drop_begun
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.messages import ExecuteRequest
from zmqruntime.transport import TransportMode, ZMQConfig, ZMQServer

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.engine import LifecycleEngine
    from zmqruntime.execution.lifecycle.retry import RetryPolicy
    from zmqruntime.execution.runner import TaskRunner
    from zmqruntime.transport import ServerSession

__all__ = ["ExecutionServer"]


# What a server alone needs, and not its worker, is imported by the methods that use it: a worker
# imports this module as well, and is waited for.
class ExecutionServer(ZMQServer, ABC):
    """Queues tasks and runs them one at a time, in order, in a worker process.

    A subclass is the application's side of it. Its object is pickled to the worker, where
    `setup_worker` and `execute_task` run, so ``__init__`` opens nothing; and its class has to
    be importable there: defined in a module or a script, not in a notebook.

    Args:
        port: the data port; None for the configuration's default.
        host: the TCP address to bind to (giving one means TCP); None for loopback.
        transport_mode: IPC where the platform has it, unless told otherwise.
        config: settings that its clients have to share.
        log_file_path: where log records of ``zmqruntime`` are also written, appended.
        max_queued: how many executions may wait; further ones are refused. None: any number.
        max_queued_bytes: how many bytes the requests that wait may have together; further ones
            are refused, but for one in an empty queue. None: any number.
        history_limit: how many records of ended executions are kept that were read, in a reply to
            any client, for those who ask again; 0: nothing that has ended is kept, read or not.
        history_seconds: how old records may be, from the end of the execution, read or not;
            dropped as others end. None: any age.
        history_bytes: how many bytes records that were read may have together, results included.
        unread_limit: how many records are kept that were not read. Beyond, the oldest is dropped
            but for its status, its times and its error: `ResultDropped`.
        unread_bytes: how many bytes they may have together, results included.
        cancel_grace_seconds: how long a task that was told to stop may take to clean up,
            before its process is ended.
        journal: the file in which executions outlive the server, in a directory that exists;
            True: one in the user's data directory, named after the class and the port; None and
            False: they live as long as the server. A launcher or a command line that names another
            one, or none, is followed instead.
        on_restart: with a journal, what becomes of what runs when the server ends or dies:
            ``"fail"``, or ``"requeue"`` to run it again, up to 20 times in all.
        queue_policy: whose turn is next: ``"fifo"``, or ``"fair"`` for turns between clients.
        retry: whether what fails is tried again, unless its request says otherwise; never.
        events_kept: how many of each execution's latest events are kept for subscribers who
            missed some.
        max_log_bytes: how much is kept of what a task writes to its stdout and stderr, the
            newest; 0: nothing, and it goes where the server's own output goes.

    Raises:
        TypeError: an argument is of the wrong kind; the error names it.
        ValueError: one is out of its range, or no known word.
        EndpointError: the port is out of range or the socket path is too long.
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
        from zmqruntime.execution.lifecycle.retry import RetryPolicy
        from zmqruntime.transport import check_kind, check_number, check_word

        check_number("max_queued", max_queued, least=0, whole=True, optional=True)
        check_number("max_queued_bytes", max_queued_bytes, least=0, whole=True, optional=True)
        check_number("history_limit", history_limit, least=0, whole=True)
        check_number("history_seconds", history_seconds, least=0, optional=True)
        check_number("history_bytes", history_bytes, least=0, whole=True)
        check_number("unread_limit", unread_limit, least=1, whole=True)
        check_number("unread_bytes", unread_bytes, least=0, whole=True)
        check_number("cancel_grace_seconds", cancel_grace_seconds, least=0)
        check_kind("journal", journal, Path, str, bool, optional=True)
        check_kind("retry", retry, RetryPolicy, optional=True)
        check_number("events_kept", events_kept, least=0, whole=True)
        check_number("max_log_bytes", max_log_bytes, least=0, whole=True)
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._history_limit = history_limit
        self._history_seconds = history_seconds
        self._history_bytes = history_bytes
        self._unread_limit = unread_limit
        self._unread_bytes = unread_bytes
        self._cancel_grace_seconds = cancel_grace_seconds
        self.journal: Path | None = None
        """The file in which executions outlive the server; None: there is none."""
        self.choose_journal(journal)
        self._on_restart = check_word("on_restart", on_restart, RestartPolicy)
        self._queue_policy = check_word("queue_policy", queue_policy, QueuePolicy)
        self._retry = retry
        self._events_kept = events_kept
        self._max_log_bytes = max_log_bytes

    @property
    def cancel_grace_seconds(self) -> float:
        """How long a task that was told to stop may take to clean up."""
        return self._cancel_grace_seconds

    def choose_journal(self, choice: JournalChoice) -> None:
        """Decide on the journal, before the start; None leaves it as it is."""
        self.journal = choose_journal(choice, self.journal, default=self._default_journal)

    def _default_journal(self) -> Path:
        from zmqruntime.transport import name_class

        return default_journal_path(self.config.app_name, name_class(type(self)), self.port)

    @abstractmethod
    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> Any:
        """Do the work of one request and return its result.

        Runs in the worker process, in its main thread. ``request.task`` and ``request.config``
        are what the client submitted; ``context`` reports progress and tells of a cancel.
        Whatever it raises fails this execution and no other.

        Returns:
            Anything that `serialize_result` and `to_json_value` turn into JSON: None, numbers,
            strings, lists, dicts, dates, dataclasses, pydantic models, numpy's numbers and small
            arrays.
        """

    def serialize_result(self, result: Any) -> Any:
        """Return what a client gets for ``result``. May be overridden.

        The counterpart of a client's ``serialize_task``; runs in the worker process, behind
        `execute_task`. What it returns, by default ``result`` itself, is converted as
        `to_json_value` does. What it raises fails the execution as ``unserializable_result``,
        with the ``repr()`` of the result in the record.
        """
        return result

    def setup_worker(self) -> None:
        """Prepare a new worker process, once, before its first task: open, load, warm up.

        What is kept on ``self`` here is there for every task of this process. The server is
        ready when this returns; when it raises at the server's start, the server ends and
        says why.
        """

    def make_engine(self) -> LifecycleEngine:
        """Return what keeps the executions of one run of this server. May be overridden."""
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
        """Return what runs the tasks of one run of this server. May be overridden."""
        from zmqruntime.execution.worker.parent.process_runner import WorkerProcessRunner

        return WorkerProcessRunner(self, self._max_log_bytes, self.journal)

    def start(self) -> None:
        """Serve in a thread of the server's own; return when its first worker is ready.

        Raises:
            WorkerFailed: no worker can be started, as when `setup_worker` raised: in the words of
                that error. The server has ended, and may be started again.
            AddressInUse, EndpointError, TooManyOpenFiles, RuntimeError: as of `ZMQServer.start`.
        """
        super().start()
        if not self._waits_for_end:
            self._wait_until_settled()

    def _make_session(self) -> ServerSession:
        from zmqruntime.execution.core.event_log import EventLog
        from zmqruntime.execution.core.scheduler import Scheduler
        from zmqruntime.execution.server.session import ExecutionSession

        if self.journal is not None:
            from zmqruntime.execution.journal.file import check_journal_dir

            check_journal_dir(self.journal)
        runner = self.make_runner()  # First: an engine has to be closed again.
        drop_begun()  # A runner of another kind has no use for it.
        return ExecutionSession(
            type(self).__name__,
            __version__,
            self.endpoint,
            self.config,
            log_file_path=self._log_file_path,
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
