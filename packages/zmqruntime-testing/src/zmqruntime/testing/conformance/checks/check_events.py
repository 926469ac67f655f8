"""Published events: topics, order and contents."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import EVENTS, ExecutionTrace
from zmqruntime.testing.conformance.transcript import Transcript

checks = pytest.mark.checks


@checks("C-134")
def check_topic_is_client_and_execution(peer: Peer) -> None:
    peer.register("all")
    execution_id = peer.submit("echo", value=1)
    topic = f"{peer.name}/{execution_id}".encode()
    assert {event.topic for event in peer.events_to_end(execution_id)} == {topic}


@checks("C-135")
def check_client_receives_only_its_own_events(peer: Peer, make_peer: MakePeer) -> None:
    other = make_peer()
    for each in (peer, other):
        each.register()
    foreign = [other.submit("echo", value=n) for n in range(2)]
    own = [peer.submit("echo", value=n) for n in range(2)]
    for execution_id in own:
        assert len(peer.events_to_end(execution_id)) == 3
    for execution_id in foreign:
        assert len(other.events_to_end(execution_id)) == 3
        assert not peer.unread_events(execution_id), "received events of another client"


@checks("C-136")
def check_observer_receives_all_events(peer: Peer, make_peer: MakePeer) -> None:
    observer = make_peer()
    observer.register("all")
    execution_id = peer.submit("echo", value=1)
    assert len(observer.events_to_end(execution_id)) == 3


@checks("C-139")
def check_sequence_has_no_gap(
    counted: ExecutionTrace, failed: ExecutionTrace, cancelled: ExecutionTrace
) -> None:
    for trace in (counted, failed, cancelled):
        numbers = [event.body["sequence"] for event in trace.events]
        assert numbers == list(range(1, len(numbers) + 1)), (
            f"the sequences are {numbers}, expected 1, 2, 3, ..."
        )


@checks("C-142")
def check_progress_event_has_the_reported_values(counted: ExecutionTrace) -> None:
    progress = [event.body for event in counted.events if event.body["type"] == "progress"]
    reported = [(body["completed"], body["total"]) for body in progress]
    assert reported == [(n, EVENTS) for n in range(1, EVENTS + 1)]


@checks("C-143")
def check_percent_is_computed_from_completed_and_total(counted: ExecutionTrace) -> None:
    progress = [event.body for event in counted.events if event.body["type"] == "progress"]
    for body in progress:
        assert body["percent"] == pytest.approx(100 * body["completed"] / body["total"])


@checks("C-147")
def check_state_event_has_the_known_times(counted: ExecutionTrace) -> None:
    states = [event.body for event in counted.events if event.body["type"] == "state"]
    known = [(s["started_at"] is not None, s["finished_at"] is not None) for s in states]
    assert known == [(False, False), (True, False), (True, True)]


@checks("C-146", "C-147")
def check_terminal_state_event_has_the_times_of_the_record(counted: ExecutionTrace) -> None:
    last = counted.events[-1].body
    for name in ("submitted_at", "started_at", "finished_at"):
        assert last[name] == counted.record[name]


@checks("C-148")
def check_terminal_state_event_has_the_error_of_the_record(
    counted: ExecutionTrace, failed: ExecutionTrace
) -> None:
    assert failed.events[-1].body["error"] == failed.record["error"]
    assert counted.events[-1].body["error"] is None


@checks("C-145", "C-149")
def check_each_transition_has_a_state_event(
    counted: ExecutionTrace, failed: ExecutionTrace, cancelled: ExecutionTrace
) -> None:
    assert counted.states == ["queued", "running", "complete"]
    assert failed.states == ["queued", "running", "failed"]
    assert cancelled.states == ["queued", "running", "cancelled"]


@checks("C-149")
def check_execution_cancelled_in_the_queue_is_never_running(peer: Peer) -> None:
    peer.fill_slots()
    execution_id = peer.submit("echo", value=1)
    peer.expect_reply("ok", "cancel", execution_id=execution_id)
    states = [event.body["status"] for event in peer.events_to_end(execution_id)]
    assert states == ["queued", "cancelled"]


@checks("C-149", "C-142")
def check_progress_is_between_running_and_the_terminal_state(counted: ExecutionTrace) -> None:
    kinds = [event.body.get("status", "progress") for event in counted.events]
    assert kinds == ["queued", "running", *["progress"] * EVENTS, "complete"]


@checks("C-150")
def check_state_event_has_no_result(full_transcript: Transcript) -> None:
    for event in full_transcript.events:
        assert event.body["type"] != "state" or "result" not in event.body


@checks("C-151")
def check_first_event_is_queued_and_last_is_terminal(
    counted: ExecutionTrace, failed: ExecutionTrace, cancelled: ExecutionTrace
) -> None:
    for trace in (counted, failed, cancelled):
        assert trace.events[0].body.get("status") == "queued"
        assert trace.events[-1].body.get("status") == trace.record["status"]


@checks("C-151")
def check_no_event_follows_the_terminal_state(peer: Peer) -> None:
    peer.register()
    execution_id = peer.submit("count", events=2)
    peer.events_to_end(execution_id)
    peer.events_to_end(peer.submit("echo", value="behind it"))
    assert not peer.unread_events(execution_id), "received events after the terminal state"
