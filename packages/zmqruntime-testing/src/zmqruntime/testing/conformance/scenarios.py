"""What every run of the checks goes through once, for several checks to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.transcript import Event, Message, Transcript

__all__ = ["LABELS", "BusyServer", "ExecutionTrace"]

EVENTS = 3
LABELS = {"made": "for the checks"}
REASON = "as it was told to"


@dataclass(frozen=True)
class ExecutionTrace:
    """One execution from its beginning to its end."""

    execution_id: str
    client_id: str
    events: list[Event]
    record: Message

    @property
    def states(self) -> list[object]:
        """The statuses that its events tell, in their order."""
        return [e.body.get("status") for e in self.events if e.body.get("type") == "state"]


@dataclass(frozen=True)
class BusyServer:
    """The server while one execution runs and two wait, as it told then."""

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
    """One that reports progress and completes."""
    peer = make_lasting_peer()
    peer.register()
    return _trace(peer, peer.submit("count", events=EVENTS, fields={"labels": LABELS}))


@pytest.fixture(scope="session")
def failed(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """One that fails."""
    peer = make_lasting_peer()
    peer.register()
    return _trace(peer, peer.submit("fail", message=REASON))


@pytest.fixture(scope="session")
def failed_twice(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """One that fails, is tried again, and fails again."""
    peer = make_lasting_peer()
    peer.register()
    again = {"max_attempts": 2, "retry_on": ["exception"], "backoff_seconds": 0}
    return _trace(peer, peer.submit("fail", message=REASON, fields=again))


@pytest.fixture(scope="session")
def stopped(make_lasting_peer: MakePeer) -> ExecutionTrace:
    """One that is cancelled while it runs."""
    peer = make_lasting_peer()
    peer.register()
    execution_id = peer.submit("spin")
    begun = peer.await_state(execution_id, "running")
    peer.expect_reply("ok", "cancel", execution_id=execution_id)
    told = _trace(peer, execution_id)
    return replace(told, events=begun + told.events)


@pytest.fixture(scope="session")
def busy(make_lasting_peer: MakePeer) -> BusyServer:
    """The server with work; it is idle again afterwards."""
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
def everything(
    make_lasting_peer: MakePeer,
    transcript: Transcript,
    counted: ExecutionTrace,
    failed: ExecutionTrace,
    failed_twice: ExecutionTrace,
    stopped: ExecutionTrace,
    busy: BusyServer,
) -> Transcript:
    """All that was said in this run, and at least one message of every kind."""
    peer = make_lasting_peer()
    peer.request("no such type")
    peer.request("ping", limit="many")
    peer.request("status", execution_id="nobody")
    peer.request_frames(b"", b"nonsense")
    peer.request("unregister_progress", client_id=peer.name)
    for trace in (counted, failed, failed_twice, stopped):
        peer.record(trace.execution_id)
        peer.record(trace.execution_id)
    peer.request("events", execution_id=counted.execution_id)
    peer.request("log_tail", execution_id=counted.execution_id)
    peer.request("ping")  # What comes twice has come when this is answered.
    return transcript
