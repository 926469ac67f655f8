"""The contract of `TaskRunner`."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
import zmq

from zmqruntime.execution import (
    ExecutionServer,
    ProgressReported,
    RunnerEvent,
    RunnerHost,
    TaskRaised,
    TaskReturned,
    TaskRunner,
    TaskStopped,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.messages import ErrorKind, ExecuteRequest, encode
from zmqruntime.messages.lowlevel import decode_json
from zmqruntime.testing.standard_tasks import StandardServer
from zmqruntime.transport import Endpoint, Loop, ProcessIdentity, TransportMode, ZMQConfig

__all__ = ["RunnerBench", "TaskRunnerContract"]

_T = TypeVar("_T")
_E = TypeVar("_E", bound=RunnerEvent)

_TIMEOUT_SECONDS = 30.0


class RunnerBench:
    """Drives a runner under test in a loop of its own, in place of a server."""

    def __init__(self, runner: TaskRunner, config: ZMQConfig) -> None:
        self.runner = runner
        self._events: list[RunnerEvent] = []
        self._failures: list[Exception] = []
        self._changed = threading.Condition()
        self._loop = Loop()
        assert config.runtime_dir is not None
        has_ipc = bool(zmq.has("ipc"))
        self._host = RunnerHost(
            loop=self._loop,
            endpoint=Endpoint(
                config.default_port,
                TransportMode.IPC if has_ipc else TransportMode.TCP,
                directory=config.runtime_dir,
            ),
            max_message_bytes=config.max_message_bytes,
            log_dir=config.log_dir,
            emit=self._emit,
        )
        self._thread = threading.Thread(target=self._run, name="zmqruntime-bench", daemon=True)
        self._thread.start()
        self.call(lambda: runner.open(self._host))

    @property
    def events(self) -> list[RunnerEvent]:
        """The events that the runner has emitted so far."""
        with self._changed:
            return list(self._events)

    def call(self, action: Callable[[], _T]) -> _T:
        """Call ``action`` in the loop's thread, as a server does, and return its result."""
        done: Future[_T] = Future()

        def run() -> None:
            try:
                done.set_result(action())
            except Exception as error:  # noqa: BLE001 - raised in the test
                done.set_exception(error)

        self._loop.post(run)
        return done.result(_TIMEOUT_SECONDS)

    def assign(self, execution_id: str, **task: Any) -> None:
        """Assign a standard task."""
        request = ExecuteRequest(execution_id=execution_id, client_id="bench", task=task)
        self.call(lambda: self.runner.assign(execution_id, encode(request)))

    def await_event(self, kind: type[_E], count: int = 1) -> _E:
        """Wait for ``count`` events of a class, and return the last of them."""

        def of_kind() -> list[_E]:
            return [event for event in self._events if isinstance(event, kind)]

        with self._changed:
            arrived = self._changed.wait_for(lambda: len(of_kind()) >= count, _TIMEOUT_SECONDS)
            assert arrived, f"expected {count} {kind.__name__}, received {self._events}"
            return of_kind()[count - 1]

    def start(self) -> None:
        """Start a worker, and wait until it is ready."""
        ready = sum(isinstance(event, WorkerReady) for event in self.events)
        self.call(self.runner.start_worker)
        self.await_event(WorkerReady, ready + 1)

    def close(self) -> None:
        """Stop the loop and close the runner, as a server does. Idempotent."""
        self._loop.post(self._loop.stop)
        self._thread.join(_TIMEOUT_SECONDS)
        assert not self._thread.is_alive(), "close() of the runner did not return"
        assert not self._failures, f"the runner raised {self._failures}"

    def _run(self) -> None:
        try:
            self._loop.run()
            self.runner.close()
        except Exception as error:  # noqa: BLE001 - reported by `close`
            self._failures.append(error)
        finally:
            self._loop.close()

    def _emit(self, event: RunnerEvent) -> None:
        assert threading.current_thread() is self._thread, (
            "emit() was called from another thread: use loop.post()"
        )
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()


class TaskRunnerContract(ABC):
    """Tests that every task runner passes, with the standard tasks.

    Derive from it in a test module: ``class TestMyRunner(TaskRunnerContract)``.
    """

    @abstractmethod
    def make_runner(self, server: ExecutionServer) -> TaskRunner:
        """Return a new runner of this server's ``execute_task``."""

    @pytest.fixture
    def bench(self, zmq_config: ZMQConfig) -> Iterator[RunnerBench]:
        """A runner that is open and has no worker yet."""
        bench = RunnerBench(self.make_runner(StandardServer(config=zmq_config)), zmq_config)
        yield bench
        bench.close()

    def test_started_worker_is_ready_once(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="echo", value=1)
        bench.await_event(TaskReturned)
        assert [type(event) for event in bench.events] == [WorkerReady, TaskReturned]

    def test_result_is_returned_as_json(self, bench: RunnerBench) -> None:
        bench.start()
        for n, value in enumerate([None, {"ä": [1, 2.5, "x"]}], start=1):
            bench.assign(f"x{n}", do="echo", value=value)
            returned = bench.await_event(TaskReturned, n)
            assert (returned.execution_id, decode_json(returned.result)) == (f"x{n}", value)

    def test_progress_is_in_order_and_before_the_end(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="count", events=20)
        bench.await_event(TaskReturned)
        _, *progress, last = bench.events
        reports = [event for event in progress if isinstance(event, ProgressReported)]
        assert reports == progress
        bodies = [body for event in reports for body in event.bodies]
        assert [decode_json(body)["completed"] for body in bodies] == [*range(1, 21)]
        assert {event.execution_id for event in reports} == {"a"}
        assert isinstance(last, TaskReturned)
        assert (last.execution_id, last.result) == ("a", b"20")

    def test_worker_continues_after_a_failed_task(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="fail", message="no disk")
        raised = bench.await_event(TaskRaised)
        assert (raised.execution_id, raised.error.kind) == ("a", ErrorKind.EXCEPTION)
        assert raised.error.message == "no disk"
        bench.assign("b", do="echo", value=1)
        assert bench.await_event(TaskReturned).execution_id == "b"

    def test_interrupted_task_stops(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="spin")
        bench.call(lambda: bench.runner.interrupt("a"))
        assert bench.await_event(TaskStopped).execution_id == "a"
        bench.assign("b", do="echo", value=1)
        assert bench.await_event(TaskReturned).execution_id == "b"

    def test_interrupt_affects_its_own_task_only(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="echo", value=1)
        bench.await_event(TaskReturned)
        bench.call(lambda: bench.runner.interrupt("a"))
        bench.call(lambda: bench.runner.interrupt("never there"))
        bench.assign("b", do="count", events=3)
        assert bench.await_event(TaskReturned, 2).execution_id == "b"
        assert not [event for event in bench.events if isinstance(event, TaskStopped)]

    def test_killed_worker_exits_once_and_can_be_replaced(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="spin")
        bench.call(bench.runner.kill_worker)
        bench.await_event(WorkerExited)
        bench.start()
        bench.assign("b", do="echo", value=1)
        assert bench.await_event(TaskReturned).execution_id == "b"
        exits = [event for event in bench.events if isinstance(event, WorkerExited)]
        assert len(exits) == 1

    def test_no_event_of_a_task_follows_the_exit_of_its_worker(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="spin")
        bench.call(bench.runner.kill_worker)
        bench.await_event(WorkerExited)
        bench.start()
        after = [type(event) for event in bench.events]
        assert after[after.index(WorkerExited) :] == [WorkerExited, WorkerReady]

    def test_describe_names_the_worker_of_a_task(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="spin")
        workers = bench.call(lambda: bench.runner.describe("a"))
        assert [worker.execution_id for worker in workers].count("a") == 1

    def test_runner_closes_without_a_worker(self, bench: RunnerBench) -> None:
        assert bench.call(lambda: bench.runner.describe(None)) == ()

    def test_close_during_a_task_leaves_no_worker(self, bench: RunnerBench) -> None:
        bench.start()
        bench.assign("a", do="spin")
        pids = {worker.pid for worker in bench.call(lambda: bench.runner.describe("a"))}
        # A runner without worker processes describes this process.
        workers = [ProcessIdentity.of(pid) for pid in pids - {os.getpid()}]
        bench.close()
        assert not [worker for worker in workers if worker.is_running()]
