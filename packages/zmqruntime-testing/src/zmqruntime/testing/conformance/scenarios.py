"""Scenarios that run once per run, and that several checks read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.transcript import Event, Message, Transcript

__all__ = ["LABELS", "BusyServer", "ExecutionTrace"]

EVENTS = 3
LABELS = {"made": "for the checks"}
REASON = "the expected failure"


@dataclass(frozen=True)
class ExecutionTrace:
    """The events and the final record of one execution."""

    execution_id: str
    client_id: str
    events: list[Event]
    record: Message

    @property
    def states(self) -> list[object]:
        """The statuses of its state events, in order."""
        return [e.body.get("status") for e in self.events if e.body.get("type") == "state"]


@dataclass(frozen=True)
class BusyServer:
    """Replies of the server while one execution is running and two are queued."""

    running: str
    queued: list[str]
    pong: Message
    snapshot: Message
    running_record: Message
    queued_record: Message


def _trace(peer: Peer, execution_id: str) -> ExecutionTrace:
    return ExecutionTrace(
        execution_id, peer.name, peer.events_to_end(execution_id), peer.await_end(execution_id)
    )


@pytest.fixture(scope="session")
def counted(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """An execution that reports progress and completes."""
    peer = make_lasting_peer()
    peer.register()
    return _trace(peer, peer.submit("count", events=EVENTS, fields={"labels": LABELS}))


@pytest.fixture(scope="session")
def failed(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """An execution that fails."""
    peer = make_lasting_peer()
    peer.register()
    return _trace(peer, peer.submit("fail", message=REASON))


@pytest.fixture(scope="session")
def failed_twice(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """An execution that fails, is retried, and fails again."""
    peer = make_lasting_peer()
    peer.register()
    again = {"max_attempts": 2, "retry_on": ["exception"], "backoff_seconds": 0}
    return _trace(peer, peer.submit("fail", message=REASON, fields=again))


@pytest.fixture(scope="session")
def cancelled(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """An execution that is cancelled while it is running."""
    peer = make_lasting_peer()
    peer.register()
    execution_id = peer.submit("spin")
    first = peer.await_state(execution_id, "running")
    peer.expect_reply("ok", "cancel", execution_id=execution_id)
    rest = _trace(peer, execution_id)
    return replace(rest, events=first + rest.events)


@pytest.fixture(scope="session")
def busy(make_lasting_peer: MakePeer) -> BusyServer:
    """Replies of the busy server, which is idle again afterwards."""
    peer = make_lasting_peer()
    try:
        running, *_ = peer.fill_slots()
        queued = [peer.submit("echo", value=n, fields={"labels": LABELS}) for n in (1, 2)]
        return BusyServer(
            running=running,
            queued=queued,
            pong=peer.expect_reply("pong", "ping"),
            snapshot=peer.expect_reply("snapshot", "status"),
            running_record=peer.record(running),
            queued_record=peer.record(queued[0]),
        )
    finally:
        peer.cancel_all()


@pytest.fixture(scope="session")
def full_transcript(
    make_lasting_peer: MakePeer,
    transcript: Transcript,
    counted: ExecutionTrace,
    failed: ExecutionTrace,
    failed_twice: ExecutionTrace,
    cancelled: ExecutionTrace,
    busy: BusyServer,
) -> Transcript:
    """The transcript of this run, with at least one message of every kind."""
    peer = make_lasting_peer()
    peer.request("no such type")
    peer.request("ping", limit="many")
    peer.request("status", execution_id="unknown")
    peer.request_frames(b"", b"nonsense")
    peer.request("unregister_progress", client_id=peer.name)
    for trace in (counted, failed, failed_twice, cancelled):
        peer.record(trace.execution_id)
        peer.record(trace.execution_id)
    peer.request("events", execution_id=counted.execution_id)
    peer.request("log_tail", execution_id=counted.execution_id)
    peer.request("ping")  # Duplicate replies to earlier requests arrive before this reply.
    return transcript
