"""Submits and the queue: acceptance, order, bounds, listing."""

from __future__ import annotations

import re

import pytest
from driving import START, Done, Driver, caller, request

from zmqruntime.execution.core.effects import AssignTask, Publish
from zmqruntime.execution.core.events import Submitted, TaskReturned
from zmqruntime.messages import (
    AcceptedReply,
    ErrorCode,
    ExecuteRequest,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    StateEvent,
    decode_request,
    encode,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_scheduler_starts_a_worker_and_is_not_yet_ready() -> None:
    driver = Driver(ready=False)
    assert driver.started.starts_worker
    assert not driver.scheduler.ready


def test_scheduler_with_an_idle_or_busy_worker_is_ready() -> None:
    driver = Driver()
    assert driver.scheduler.ready
    driver.accept("a")
    assert driver.scheduler.ready


def test_execution_submitted_before_the_worker_is_ready_starts_with_it() -> None:
    driver = Driver(ready=False)
    done = driver.submit("a")
    assert done.reply(AcceptedReply).queue_position == 1
    assert done.assigned == []
    assert driver.worker_ready().assigned == ["a"]


def test_new_execution_is_assigned_to_an_idle_worker() -> None:
    driver = Driver()
    done = driver.submit("a")
    assert done.reply(AcceptedReply).execution_id == "a"
    assert done.assigned == ["a"]
    assert done.states == [("a", QUEUED), ("a", RUNNING)]
    assert driver.scheduler.slots[0].execution_id == "a"


def test_worker_gets_the_request_as_it_was_submitted() -> None:
    driver = Driver()
    fields = {"task": {"x": [1, 2]}, "config": {"y": None}, "labels": {"l": "1"}}
    (assigned,) = driver.submit("a", **fields).of(AssignTask)
    assert decode_request(assigned.request) == request("a", **fields)


def test_worker_gets_the_received_frame_unless_it_lacks_an_id() -> None:
    driver = Driver()
    frame = b'{ "type": "execute", "execution_id": "a", "client_id": "lab", "task": {} }'
    submitted = decode_request(frame)
    assert isinstance(submitted, ExecuteRequest)
    (assigned,) = driver.do(Submitted(submitted, caller(), frame)).of(AssignTask)
    assert assigned.request == frame
    driver.do(TaskReturned("a", b"null"))
    nameless = submitted.model_copy(update={"execution_id": None})
    (assigned,) = driver.do(Submitted(nameless, caller(), b'{"type": "execute"}')).of(AssignTask)
    named = decode_request(assigned.request)
    assert named == nameless.model_copy(update={"execution_id": assigned.execution_id})


def test_executions_run_one_at_a_time_in_the_order_of_arrival() -> None:
    driver = Driver()
    driver.accept("c", "a", "b")
    assert driver.scheduler.slots[0].execution_id == "c"
    assert driver.returns("c").assigned == ["a"]
    assert driver.raises("a").assigned == ["b"]
    assert driver.returns("b").assigned == []
    assert driver.scheduler.slots[0].execution_id is None


def test_accepted_reply_has_the_queue_position() -> None:
    driver = Driver(ready=False)
    positions = [driver.submit(name).reply(AcceptedReply).queue_position for name in "abc"]
    assert positions == [1, 2, 3]


def test_queue_positions_move_up() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    assert driver.record("c").queue_position == 2
    driver.returns("a")
    assert driver.record("c").queue_position == 1
    driver.returns("b")
    assert driver.record("c").queue_position is None


def test_execution_without_an_id_gets_one() -> None:
    names = iter(["one", "two"])
    driver = Driver(make_id=lambda: next(names))
    assert driver.submit(None).reply(AcceptedReply).execution_id == "one"
    assert driver.submit(None).reply(AcceptedReply).execution_id == "two"
    assert driver.record("two").status is QUEUED


def test_generated_ids_are_unique() -> None:
    driver = Driver()
    names = {driver.submit(None).reply(AcceptedReply).execution_id for _ in range(100)}
    assert len(names) == 100


def test_duplicate_submit_is_accepted_and_queues_nothing() -> None:
    driver = Driver()
    driver.accept("runs", "waits")
    again = driver.submit("waits").reply(AcceptedReply)
    assert (again.duplicate, again.queue_position) == (True, 1)
    assert not driver.submit("waits").events
    again = driver.submit("runs").reply(AcceptedReply)
    assert (again.duplicate, again.queue_position) == (True, None)
    driver.returns("runs")
    driver.returns("waits")
    again = driver.submit("runs").reply(AcceptedReply)
    assert (again.duplicate, again.queue_position) == (True, None)
    assert driver.scheduler.slots[0].execution_id is None


def test_first_submit_is_not_a_duplicate() -> None:
    assert Driver().submit("a").reply(AcceptedReply).duplicate is False


def test_submit_of_another_task_with_a_known_id_is_a_conflict_also_after_its_end() -> None:
    driver = Driver()
    driver.accept("a", task={"x": 1})
    assert driver.reject("a", task={"x": 2}).code is ErrorCode.CONFLICT
    driver.returns("a")
    rejection = driver.reject("a", task={"x": 2})
    assert rejection.code is ErrorCode.CONFLICT
    assert "execution id a already belongs to another task" in rejection.message
    assert driver.record("a").status is COMPLETE


def test_full_queue_rejects_new_executions_and_keeps_the_others() -> None:
    driver = Driver(max_queued=2)
    driver.accept("runs", "a", "b")
    rejection = driver.reject("c")
    assert rejection.code is ErrorCode.QUEUE_FULL
    assert "2 executions are queued and the server accepts no more than 2" in rejection.message
    assert driver.submit("b").reply(AcceptedReply).duplicate  # A duplicate needs no room.
    driver.returns("runs")
    driver.accept("c")


def submit_frame(driver: Driver, execution_id: str, size: int) -> Done:
    submitted = request(execution_id, task={"x": "y" * size})
    return driver.do(Submitted(submitted, caller(), encode(submitted)))


def test_queue_is_bounded_in_bytes() -> None:
    driver = Driver(max_queued_bytes=1000)
    submit_frame(driver, "runs", 2000)
    submit_frame(driver, "a", 2000).reply(AcceptedReply)  # An empty queue takes any request.
    rejection = submit_frame(driver, "b", 10).error_reply
    assert rejection.code is ErrorCode.QUEUE_FULL
    figures = r"requests have 2,\d{3} bytes, this one has \d{3}, .* no more than 1,000"
    assert re.search(figures, rejection.message)
    assert submit_frame(driver, "a", 2000).reply(AcceptedReply).duplicate
    driver.returns("runs")
    submit_frame(driver, "b", 10).reply(AcceptedReply)
    submit_frame(driver, "c", 10).reply(AcceptedReply)
    assert submit_frame(driver, "d", 1000).error_reply.code is ErrorCode.QUEUE_FULL


def test_id_of_a_rejected_submit_is_free() -> None:
    driver = Driver(max_queued=1)
    driver.accept("runs", "a")
    driver.reject("b", task={"x": 1})
    driver.cancel("a")
    driver.accept("b", task={"x": 2})


def test_queue_limit_of_zero_rejects_every_submit() -> None:
    # Also with an idle worker: an accepted execution is queued first.
    assert Driver(max_queued=0).reject("a").code is ErrorCode.QUEUE_FULL


def test_every_transition_is_published_with_its_times() -> None:
    driver = Driver()
    events = driver.submit("a").events
    driver.advance(2)
    events += driver.returns("a").events
    assert events == [
        StateEvent(
            execution_id="a",
            sequence=1,
            timestamp=START.wall,
            status=QUEUED,
            submitted_at=START.wall,
        ),
        StateEvent(
            execution_id="a",
            sequence=2,
            timestamp=START.wall,
            status=RUNNING,
            submitted_at=START.wall,
            started_at=START.wall,
        ),
        StateEvent(
            execution_id="a",
            sequence=3,
            timestamp=START.wall + 2,
            status=COMPLETE,
            submitted_at=START.wall,
            started_at=START.wall,
            finished_at=START.wall + 2,
        ),
    ]


def test_events_are_published_to_the_topic_of_their_client() -> None:
    driver = Driver()
    done = driver.submit("a", client_id="desk-7")
    published = done.of(Publish) + driver.progress("a").of(Publish)
    assert [effect.client_id for effect in published] == ["desk-7"] * 2
    # Events of one step are published together.
    assert [[event.sequence for event in effect.events] for effect in published] == [[1, 2], [3]]


def test_history_evicts_the_least_recently_read_record() -> None:
    driver = Driver(history_limit=1)
    driver.accept("a", "b", "c")
    for name in "abc":
        driver.returns(name)
    assert driver.record("a").status is COMPLETE
    assert driver.record("b").status is COMPLETE
    message = driver.status("a").error_reply.message
    assert "no execution a is kept here" in message
    assert "submit it again, and keep records longer by a higher history_limit" in message
    assert driver.record("b").status is COMPLETE
    assert driver.record("c").status is COMPLETE


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_queue_is_listed_page_by_page(limit: int) -> None:
    driver = Driver()
    driver.accept(*"abcdefg", labels={"l": "1"})
    listed: list[tuple[int, str]] = []
    cursor = None
    for _ in range(20):
        page = driver.status(limit=limit, cursor=cursor).reply(ExecutionStatusSnapshot)
        listed += [(info.queue_position, info.execution_id) for info in page.queued_executions]
        if (cursor := page.cursor) is None:
            break
    assert listed == list(enumerate("bcdefg", start=1))
    assert [info.execution_id for info in page.running_executions] == ["a"]
    assert page.running_executions[0].labels == {"l": "1"}
    assert page.counts == {QUEUED: 6, RUNNING: 1, COMPLETE: 0, FAILED: 0, CANCELLED: 0}


def test_empty_page_has_no_cursor() -> None:
    driver = Driver()
    driver.accept("a", "b")
    page = driver.status(limit=0).reply(ExecutionStatusSnapshot)
    assert (page.queued_executions, page.cursor) == ((), None)


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.0", " 1", "²", "9" * 250])
def test_invalid_cursor_is_rejected(cursor: str) -> None:
    driver = Driver()
    rejection = driver.status(cursor=cursor).error_reply
    assert rejection.code is ErrorCode.INVALID_REQUEST
    assert rejection.message.startswith("cursor: ")
