"""The calls of a dispatcher to its runner: slots, the start, the order of effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from driving import START, caller, request

from zmqruntime.execution import Execution, InMemoryLifecycleEngine, WorkerReady
from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    InterruptTask,
    KillWorker,
    StartWorker,
)
from zmqruntime.execution.core.events import Now, Submitted, TaskReturned, TimerDue
from zmqruntime.execution.lowlevel import Dispatcher, Scheduler
from zmqruntime.transport import Caller


class Recorder:
    """A transport, and a runner that has no parameter for a slot."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def start_worker(self) -> None:
        self.calls.append("start")

    def assign(self, execution_id: str, request: bytes) -> None:
        self.calls.append(("assign", execution_id))

    def interrupt(self, execution_id: str) -> None:
        self.calls.append(("interrupt", execution_id))

    def kill_worker(self) -> None:
        self.calls.append("kill")

    def describe(self, execution_id: str | None) -> tuple[()]:
        self.calls.append(("describe", execution_id))
        return ()

    def sweep_logs(self, is_kept: Callable[[str], bool], interrupted: str | None = None) -> None:
        self.calls.append(("sweep", interrupted))

    def forget_log(self, execution_id: str) -> None: ...
    def send_reply(self, caller: Caller, frame: bytes) -> None: ...
    def publish_events(self, client_id: str, execution_id: str, events: Any) -> None: ...
    def handled(self, event: object) -> None: ...


class SlotRecorder(Recorder):
    """A runner of several slots."""

    def start_worker(self, slot: int = 0) -> None:
        self.calls.append(("start", slot))

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        self.calls.append(("assign", slot))

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        self.calls.append(("interrupt", slot))

    def kill_worker(self, slot: int = 0) -> None:
        self.calls.append(("kill", slot))


def make_dispatcher(recorder: Any, engine: InMemoryLifecycleEngine | None = None) -> Dispatcher:
    return Dispatcher(
        Scheduler(engine or InMemoryLifecycleEngine()),
        recorder,
        recorder,
        wall=lambda: START.wall,
        monotonic=lambda: START.monotonic,
    )


def test_runner_for_one_slot_needs_no_parameter_for_it() -> None:
    recorder = Recorder()
    dispatcher = make_dispatcher(recorder)
    dispatcher.start()
    dispatcher.handle(WorkerReady())
    dispatcher.handle(Submitted(request("a"), caller()))
    dispatcher.describe_work(1)
    assert recorder.calls == [("sweep", None), "start", ("assign", "a"), ("describe", "a")]


@pytest.mark.parametrize(
    ("effect", "call"),
    [
        (StartWorker(2), ("start", 2)),
        (AssignTask("a", b"{}", 2), ("assign", 2)),
        (InterruptTask("a", 2), ("interrupt", 2)),
        (KillWorker(2), ("kill", 2)),
    ],
)
def test_effects_of_a_further_slot_name_it_to_the_runner(
    monkeypatch: pytest.MonkeyPatch, effect: Effect, call: tuple[str, int]
) -> None:
    recorder = SlotRecorder()
    dispatcher = make_dispatcher(recorder)
    monkeypatch.setattr(Scheduler, "handle", lambda self, event, now: [effect])
    dispatcher.handle(TimerDue())
    assert recorder.calls == [call]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_running_executions_the_last_started_one_was_interrupted(
    order: tuple[int, ...],
) -> None:
    """A journal may have several: ends are committed later than the start of the next task."""
    engine = InMemoryLifecycleEngine()
    started: dict[int, Execution] = {}
    for number in order:
        engine.submit(request(f"started-{number}"), START.wall)
        started[number] = engine.start(f"started-{number}", START.wall + number)
    recorder = Recorder()
    make_dispatcher(recorder, engine).start()
    assert recorder.calls[0] == ("sweep", "started-2")


def test_effects_are_in_the_order_of_their_urgency() -> None:
    """A task, then the reply that was held for the last one, then the events."""
    scheduler = Scheduler(InMemoryLifecycleEngine())
    scheduler.start(START)
    scheduler.handle(WorkerReady(), START)
    for name in ("a", "b"):
        scheduler.handle(Submitted(request(name, wait_seconds=9.0), caller()), START)
    effects = scheduler.handle(TaskReturned("a", b"1"), Now(START.wall + 1, START.monotonic + 1))
    assert [type(effect).__name__ for effect in effects] == [
        "AssignTask",
        "Reply",
        "Publish",
        "Publish",
    ]
