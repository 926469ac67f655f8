"""Buffered events: which are sent, and when they are dropped."""

from __future__ import annotations

import pytest
from driving import Done, Driver

from zmqruntime.execution.core.effects import ForgetLog, Publish
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.messages import ErrorCode, ExecutionStatus, KeptEventsReply


def summarize(done: Done) -> tuple[list[int], int | None, int]:
    reply = done.reply(KeptEventsReply)
    numbers = [event.sequence for event in reply.events]
    return numbers, reply.first_kept_sequence, reply.last_sequence


def test_every_event_is_buffered_as_it_was_published() -> None:
    driver = Driver()
    published = [*driver.submit("a").events]
    published += driver.progress("a", b'{"completed":1}').events
    published += driver.raises("a").events
    assert list(driver.kept_events("a").reply(KeptEventsReply).events) == published


def test_events_of_one_step_are_published_together_and_in_order() -> None:
    driver = Driver()
    (first,) = driver.submit("a").of(Publish)
    assert [event.sequence for event in first.events] == [1, 2]
    driver.accept("b")
    step = driver.returns("a")
    assert [effect.execution_id for effect in step.of(Publish)] == ["a", "b"]
    assert step.states == [("a", ExecutionStatus.COMPLETE), ("b", ExecutionStatus.RUNNING)]


def test_buffered_events_are_sent_page_by_page() -> None:
    driver = Driver()
    driver.accept("a")
    for _ in range(8):
        driver.progress("a")
    assert summarize(driver.kept_events("a", after_sequence=3, limit=4)) == ([4, 5, 6, 7], 1, 10)
    assert summarize(driver.kept_events("a", after_sequence=10)) == ([], 1, 10)
    assert summarize(driver.kept_events("a", limit=0)) == ([], 1, 10)


def test_oldest_events_are_dropped_from_the_buffer() -> None:
    driver = Driver(events=EventLog(kept=4))
    driver.accept("a")
    for _ in range(8):
        driver.progress("a")
    assert summarize(driver.kept_events("a")) == ([7, 8, 9, 10], 7, 10)


def test_server_without_a_buffer_sends_the_last_sequence() -> None:
    driver = Driver(events=EventLog(kept=0))
    driver.accept("a")
    assert summarize(driver.kept_events("a")) == ([], None, 2)


def test_page_of_large_events_is_shorter_and_never_empty() -> None:
    driver = Driver()
    driver.accept("a")
    for _ in range(5):
        driver.progress("a", b'{"message":"%b"}' % (b"x" * 30_000))
    driver.progress("a", b'{"message":"%b"}' % (b"x" * 90_000))
    assert summarize(driver.kept_events("a"))[0] == [1, 2, 3, 4]
    assert summarize(driver.kept_events("a", after_sequence=7))[0] == [8]


def test_events_of_an_unknown_execution_are_rejected() -> None:
    assert Driver().kept_events("a").error_reply.code is ErrorCode.UNKNOWN_EXECUTION


def test_events_and_log_are_dropped_with_the_record() -> None:
    driver = Driver(history_limit=1)
    driver.accept("a", "b")
    assert driver.returns("a").of(ForgetLog) == []
    assert driver.status("a").of(ForgetLog) == []
    assert driver.returns("b").of(ForgetLog) == []
    assert driver.status("b").of(ForgetLog) == [ForgetLog("a")]
    assert driver.kept_events("a").error_reply.code is ErrorCode.UNKNOWN_EXECUTION
    driver.accept("a")
    assert summarize(driver.kept_events("a")) == ([1, 2], 1, 2)


def test_record_of_a_started_execution_names_its_log() -> None:
    driver = Driver(name_log=lambda name: f"/logs/{name}.log")
    driver.accept("a", "b")
    assert driver.record("a").log_file_path == "/logs/a.log"
    assert driver.record("b").log_file_path is None


def test_logs_beyond_the_limit_are_removed_the_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.execution.core.responder._LOGS_KEPT", 2)
    driver = Driver()
    driver.accept(*"abcd")
    removed = [driver.returns(name).of(ForgetLog) for name in "abcd"]
    assert removed == [[], [], [ForgetLog("a")], [ForgetLog("b")]]
    assert driver.record("a").status is ExecutionStatus.COMPLETE


def test_executions_that_never_started_count_as_no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqruntime.execution.core.responder._LOGS_KEPT", 2)
    driver = Driver()
    driver.accept(*"abcde")
    done = [driver.cancel(name) for name in "bcde"] + [driver.returns("a")]
    assert [effect for each in done for effect in each.of(ForgetLog)] == []


def test_log_of_a_running_execution_with_a_reused_id_is_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.execution.core.responder._LOGS_KEPT", 1)
    driver = Driver(history_limit=0)
    driver.accept("a")
    driver.returns("a")
    driver.accept("b", "a")
    done = driver.returns("b")
    assert done.assigned == ["a"]
    assert done.of(ForgetLog) == [ForgetLog("b")]
