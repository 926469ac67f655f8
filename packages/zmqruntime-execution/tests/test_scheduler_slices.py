"""Slices: one event handles a bounded number of executions, and later rounds the others."""

from __future__ import annotations

import pytest
from driving import Driver, caller, error, rounds

from zmqruntime.execution.core.effects import Exit, ForgetLog, LogCancelled, Publish, Reply
from zmqruntime.execution.core.events import StatusRequested, TimerDue, WorkerExited
from zmqruntime.execution.core.responder import SLICE
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.history import HistoryLimits
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.execution.lifecycle.retry import RetryPolicy
from zmqruntime.messages import (
    AttemptInfo,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ShutdownMode,
    StatusRequest,
    decode_reply,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus
NOW = ShutdownMode.NOW
MANY = 1000

# A slice of 50 executions with a reply and an event each, and a few other effects.
MAX_EFFECTS = 150


class DurableInName(InMemoryLifecycleEngine):
    """An engine that claims to be durable."""

    @property
    def durable(self) -> bool:
        return True


def fill(driver: Driver, count: int = MANY, start: int = 0) -> list[str]:
    names = [f"e{number}" for number in range(start, start + count)]
    driver.accept(*names)
    return names


@pytest.mark.parametrize("policy", list(QueuePolicy))
def test_long_queue_is_cancelled_in_slices(policy: QueuePolicy) -> None:
    driver = Driver(engine=InMemoryLifecycleEngine(MANY, queue_policy=policy))
    driver.accept("running")
    names = fill(driver)
    done = list(rounds(driver, driver.shut_down(NOW)))
    assert done[0].interrupted == ["running"]
    assert done[0].of(LogCancelled) == [
        LogCancelled(MANY, "the server was shut down before it ran")
    ]
    assert max(len(each.effects) for each in done) <= MAX_EFFECTS
    assert len(done) >= MANY / SLICE
    states = [state for each in done for state in each.states]
    assert states == [(name, CANCELLED) for name in names]
    assert driver.stops("running").effects[-1] == Exit()


def test_requests_are_answered_between_the_slices_of_a_shutdown() -> None:
    driver = Driver()
    driver.accept("running")
    names = fill(driver)
    driver.shut_down(NOW)
    counts = driver.status().reply(ExecutionStatusSnapshot).counts
    assert counts[CANCELLED] == SLICE
    assert driver.cancelled(names[-1]) is CANCELLED
    assert driver.reject("new").code == "shutting_down"
    list(rounds(driver, driver.do(TimerDue())))
    assert driver.stops("running").exits


def test_nothing_starts_between_the_slices_of_a_shutdown() -> None:
    driver = Driver()
    driver.accept("running")
    fill(driver)
    driver.shut_down(NOW)
    done = driver.stops("running")
    assert not done.assigned
    assert not done.exits
    done = driver.do(WorkerExited(1))
    assert not done.starts_worker
    assert list(rounds(driver, done))[-1].exits


def test_forced_second_shutdown_abandons_a_long_queue() -> None:
    driver = Driver()
    driver.accept("running")
    fill(driver)
    driver.shut_down(NOW)
    done = driver.shut_down(NOW, forced=True)
    assert done.states == [("running", FAILED)]
    assert done.kills
    assert done.effects[-1] == Exit()


def test_forced_shutdown_ends_awaited_executions_first() -> None:
    driver = Driver()
    driver.accept("running")
    names = fill(driver)
    callers = {driver.hold(name, 60) for name in names[-2 * SLICE :]}
    done = list(rounds(driver, driver.shut_down(NOW, forced=True)))
    assert max(len(each.effects) for each in done) <= MAX_EFFECTS
    assert {caller for each in done for caller in each.callers} == callers
    assert len([state for each in done for state in each.states]) < MANY / 2
    assert done[-1].effects[-1] == Exit()


def test_held_replies_of_one_execution_are_sent_in_slices() -> None:
    driver = Driver()
    driver.accept("a")
    callers = [driver.hold("a", 60) for _ in range(MANY)]
    done = list(rounds(driver, driver.returns("a", b"1")))
    assert max(len(each.effects) for each in done) <= MAX_EFFECTS
    assert [caller for each in done for caller in each.callers] == callers
    # Their timers are cancelled.
    assert not driver.advance(60).effects


def test_held_replies_with_long_results_are_sent_a_megabyte_at_a_time() -> None:
    driver = Driver()
    driver.accept("a")
    callers = [driver.hold("a", 60) for _ in range(40)]
    done = list(rounds(driver, driver.returns("a", b'"%b"' % (b"x" * 500_000))))
    assert max(len(each.callers) for each in done) <= 4
    assert [caller for each in done for caller in each.callers] == callers


def test_held_replies_with_many_further_records_are_sent_a_megabyte_at_a_time() -> None:
    driver = Driver(engine=InMemoryLifecycleEngine(MANY))
    names = fill(driver, 65)
    for name in names[:-1]:
        driver.returns(name, b'"%b"' % (b"x" * 900))
    last = names[-1]
    for _ in range(60):
        polled = StatusRequest(execution_id=last, wait_seconds=60, also=tuple(names[:-1]))
        assert not driver.do(StatusRequested(polled, caller())).effects
    done = list(rounds(driver, driver.returns(last, b"1")))
    replies = [each.of(Reply) for each in done]
    assert sum(map(len, replies)) == 60
    assert max(sum(len(reply.frame) for reply in each) for each in replies) < 2**20 + 70_000


def test_further_record_that_was_sent_counts_as_read() -> None:
    limits = HistoryLimits(history_limit=1, unread_limit=10)
    driver = Driver(engine=InMemoryLifecycleEngine(limits=limits))
    for name in ("a", "b", "c"):
        driver.accept(name)
        driver.returns(name, b"1")
    polled = StatusRequest(execution_id="c", also=("a", "b"))
    (sent,) = driver.do(StatusRequested(polled, caller())).of(Reply)
    reply = decode_reply(sent.frame)
    assert isinstance(reply, ExecutionStatusSnapshot)
    assert [record.execution_id for record in reply.also] == ["a", "b"]
    assert [driver.engine.get(name) is not None for name in "abc"] == [False, False, True]


def test_held_replies_that_time_out_together_are_sent_in_slices() -> None:
    driver = Driver()
    driver.accept("a")
    callers = [driver.hold("a", 5) for _ in range(MANY)]
    done = list(rounds(driver, driver.advance(5)))
    assert max(len(each.effects) for each in done) <= MAX_EFFECTS
    assert [caller for each in done for caller in each.callers] == callers


def test_held_replies_are_sent_in_slices_before_a_server_with_a_journal_exits() -> None:
    driver = Driver(engine=DurableInName())
    driver.accept("running")
    names = fill(driver)
    callers = [driver.hold(name, 60) for name in names]
    driver.shut_down(NOW)
    done = list(rounds(driver, driver.stops("running")))
    assert max(len(each.effects) for each in done) <= MAX_EFFECTS
    assert [caller for each in done for caller in each.callers] == callers
    assert [each.exits for each in done] == [False] * (len(done) - 1) + [True]
    assert driver.engine.queued_count == MANY


def test_retries_that_are_due_together_are_queued_in_slices() -> None:
    driver = Driver(retry=RetryPolicy(max_attempts=2, backoff_seconds=5.0))
    driver.accept("running")
    names = fill(driver)
    engine: LifecycleEngine = driver.engine
    wall = driver.now.wall
    for name in names:
        engine.start(name, wall)
        attempt = AttemptInfo(attempt=1, error=error(), started_at=wall, finished_at=wall)
        engine.requeue(name, failed=attempt, retry_at=wall + 5)
    # A new server on the same engine, as with a journal.
    driver = Driver(ready=False, engine=engine)
    released: list[int] = []

    def count_released() -> int:
        return MANY - len(engine.list_delayed())

    for _ in rounds(driver, driver.advance(5)):
        released.append(count_released() - sum(released))
    assert max(released) <= SLICE
    assert sum(released) == MANY


def test_records_that_expire_together_are_evicted_in_slices() -> None:
    engine = InMemoryLifecycleEngine(2 * MANY, history_seconds=10)
    driver = Driver(engine=engine)
    driver.accept("running")
    for name in fill(driver):
        driver.cancel(name)
    fill(driver, 10, MANY)
    driver.advance(60)
    dropped = [len(driver.cancel(f"e{MANY + n}").of(ForgetLog)) for n in range(10)]
    assert dropped == [10] * 10


def test_events_of_a_cancelled_queue_are_all_published() -> None:
    driver = Driver(engine=InMemoryLifecycleEngine(limits=HistoryLimits(unread_limit=10)))
    driver.accept("running")
    names = fill(driver)
    done = list(rounds(driver, driver.shut_down(NOW)))
    published = [publish.execution_id for each in done for publish in each.of(Publish)]
    assert published == names
    # All logs are removed at the end of the server.
    assert not [effect for each in done for effect in each.of(ForgetLog)]


def test_no_worker_is_restarted_between_the_slices_of_a_shutdown() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    driver.worker_exits(1)
    fill(driver, 3 * SLICE)
    driver.shut_down(NOW)
    assert not driver.advance(30).starts_worker


def test_worker_that_gets_ready_ends_the_failure_of_a_long_queue() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    names = fill(driver, 4 * SLICE)
    for _ in range(8):
        driver.worker_exits(1)
        driver.advance(30)
    failed = len(driver.worker_exits(1).states)
    done = driver.advance(30)
    assert done.starts_worker
    failed += len(done.states)
    assert failed < len(names)
    done = driver.worker_ready()
    assert done.assigned == [names[failed]]
    assert [each.states for each in rounds(driver, done)][1:] == [[]]


def test_execution_queued_after_the_failure_of_the_queue_waits_for_the_next_start() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    driver.accept("a")
    for _ in range(8):
        driver.worker_exits(1)
        driver.advance(30)
    assert driver.worker_exits(1).states == [("a", FAILED)]
    driver.accept("b", "c")
    for _ in range(6):
        driver.hold("c", 60)
    done = list(rounds(driver, driver.cancel("c")))
    assert [state for each in done for state in each.states] == [("c", CANCELLED)]


def test_excess_of_history_is_evicted_in_later_rounds() -> None:
    limits = HistoryLimits(unread_bytes=200_000)
    driver = Driver(engine=InMemoryLifecycleEngine(limits=limits))
    for name in fill(driver, 100):
        driver.returns(name, b"1")
    driver.accept("large")
    done = list(rounds(driver, driver.returns("large", b'"%b"' % (b"x" * 199_000))))
    assert [len(each.of(ForgetLog)) for each in done] == [10, 50, 40]
