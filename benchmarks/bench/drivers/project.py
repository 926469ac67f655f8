"""The project: a server that its client launches, in memory or with a journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil

from bench.contender import Cancelled, Contender, OnReport, WrongResult
from bench.drivers.project_server import BenchServer
from bench.tasks import Task
from zmqruntime.execution import (
    BatchSubmitWaitEngine,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionHandle,
    ExecutionServerLauncher,
    ProgressStreamSubscriber,
)
from zmqruntime.messages import ProgressEvent, ProgressScope, StateEvent
from zmqruntime.transport import ZMQConfig

__all__ = ["InMemory", "WithJournal"]

_PATIENCE = 60.0


class InMemory(Contender):
    """zmqruntime without a journal."""

    distributions = ("zmqruntime-execution", "pyzmq", "pydantic")
    has_journal = False

    def start(self) -> None:
        launcher = ExecutionServerLauncher(
            BenchServer, journal=self.place / "journal" if self.has_journal else None
        )
        self._client = ExecutionClient(config=self._config, launcher=launcher, persistent=False)
        self._client.connect()
        self._submitter = self._client

    def stop(self) -> None:
        processes = [psutil.Process(pid) for pid in self.processes()]
        if self._submitter is not self._client:
            self._submitter.disconnect()
        self._client.disconnect()
        _, alive = psutil.wait_procs(processes, timeout=_PATIENCE)
        if alive:
            raise WrongResult(f"the server has not ended with its client: {alive}")

    def processes(self) -> list[int]:
        pong = self._client.ping()
        return [pong.process.pid, *(worker.pid for worker in pong.workers)]

    def submit(self, task: Task) -> ExecutionHandle:
        return self._submitter.submit_execution(task)

    def result(self, ticket: ExecutionHandle) -> object:
        try:
            return ticket.result(_PATIENCE)
        except ExecutionCancelled:
            raise Cancelled from None

    def execute(self, task: Task) -> object:
        return self._client.execute(task, timeout=_PATIENCE)

    def submit_all(self, tasks: Sequence[Task]) -> None:
        self._client.submit_many(tasks)

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        engine = BatchSubmitWaitEngine(self._client, max_outstanding=len(tasks))
        return list(engine.run(tasks).results())

    def stream(self, task: Task, on_report: OnReport) -> object:
        listener = _Listener(on_report)
        subscriber = ProgressStreamSubscriber(self._client, self._client.client_id, listener)
        try:
            handle = self._client.submit_execution(task)
            if not listener.ended.wait(_PATIENCE):
                raise WrongResult(f"the terminal event of {handle} did not arrive")
            if listener.out_of_order:
                raise WrongResult(f"events out of order: {listener.out_of_order}")
            return handle.result()
        finally:
            subscriber.close()

    def subscribe_to_ends(self) -> Callable[[int], None]:
        ends = _Ends()
        self._submitter = ExecutionClient(config=self._config, progress_callback=ends)
        self._submitter.connect()
        return ends.wait

    def ping(self) -> object:
        return self._client.ping()

    def queued(self) -> int:
        return self._client.ping().queued_count

    def status(self, ticket: ExecutionHandle) -> str:
        return str(ticket.status().status)

    def cancel(self, ticket: ExecutionHandle) -> None:
        ticket.cancel()

    @contextmanager
    def observe(self, callbacks: Sequence[OnReport]) -> Iterator[None]:
        with ExecutionClient(config=self._config) as client:
            subscribers = [
                ProgressStreamSubscriber(
                    client,
                    f"{client.client_id}-{number}",
                    _Listener(on_report),
                    scope=ProgressScope.ALL,
                )
                for number, on_report in enumerate(callbacks)
            ]
            yield
            for subscriber in subscribers:
                subscriber.close()

    @property
    def _config(self) -> ZMQConfig:
        return ZMQConfig(runtime_dir=self.place / "run", log_dir=self.place / "log")


class WithJournal(InMemory):
    """zmqruntime with a journal."""

    has_journal = True


class _Ends:
    """A progress callback that counts the executions that have ended."""

    def __init__(self) -> None:
        self._count = 0
        self._counted = threading.Condition()

    def __call__(self, event: ProgressEvent | StateEvent) -> None:
        if isinstance(event, StateEvent) and event.status.is_terminal:
            with self._counted:
                self._count += 1
                self._counted.notify()

    def wait(self, count: int) -> None:
        with self._counted:
            if not self._counted.wait_for(lambda: self._count >= count, _PATIENCE):
                raise WrongResult(f"the callback was called with {self._count} ends of {count}")


class _Listener:
    """A progress callback that forwards reports and checks their sequence numbers."""

    def __init__(self, on_report: OnReport) -> None:
        self._on_report = on_report
        self._last = 0
        self.ended = threading.Event()
        self.out_of_order: list[int] = []

    def __call__(self, event: ProgressEvent | StateEvent) -> None:
        if event.sequence <= self._last:
            self.out_of_order.append(event.sequence)
        self._last = event.sequence
        if isinstance(event, ProgressEvent):
            assert isinstance(event.completed, int)
            self._on_report(event.completed, event.data["sent"] if event.data else None)  # type: ignore[arg-type]
        elif event.status.is_terminal:
            self._last = 0
            self.ended.set()
