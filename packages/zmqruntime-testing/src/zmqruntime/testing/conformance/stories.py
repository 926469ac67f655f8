"""What every run of the checks goes through once, for several checks to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.journal import Event, Journal, Message
from zmqruntime.testing.conformance.peer import Peer

__all__ = ["LABELS", "Busy", "Story"]

EVENTS = 3
LABELS = {"made": "for the checks"}
REASON = "as it was told to"


@dataclass(frozen=True)
class Story:
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
class Busy:
    """The server while one execution runs and two wait, as it told then."""

    running: str
    queued: list[str]
    pong: Message
    snapshot: Message
    running_record: Message
    queued_record: Message


def _story(peer: Peer, execution_id: str) -> Story:
    return Story(execution_id, peer.name, peer.story(execution_id), peer.finish(execution_id))


@pytest.fixture(scope="session")
def counted(make_lasting_peer: MakePeer) -> Story:
    """One that reports progress and completes."""
    peer = make_lasting_peer()
    peer.register()
    return _story(peer, peer.submit("count", events=EVENTS, fields={"labels": LABELS}))


@pytest.fixture(scope="session")
def failed(make_lasting_peer: MakePeer) -> Story:
    """One that fails."""
    peer = make_lasting_peer()
    peer.register()
    return _story(peer, peer.submit("fail", message=REASON))


@pytest.fixture(scope="session")
def failed_twice(make_lasting_peer: MakePeer) -> Story:
    """One that fails, is tried again, and fails again."""
    peer = make_lasting_peer()
    peer.register()
    again = {"max_attempts": 2, "retry_on": ["exception"], "backoff_seconds": 0}
    return _story(peer, peer.submit("fail", message=REASON, fields=again))


@pytest.fixture(scope="session")
def stopped(make_lasting_peer: MakePeer) -> Story:
    """One that is cancelled while it runs."""
    peer = make_lasting_peer()
    peer.register()
    execution_id = peer.submit("spin")
    begun = peer.await_state(execution_id, "running")
    peer.granted("ok", "cancel", execution_id=execution_id)
    told = _story(peer, execution_id)
    return replace(told, events=begun + told.events)


@pytest.fixture(scope="session")
def busy(make_lasting_peer: MakePeer) -> Busy:
    """The server with work; it is idle again afterwards."""
    peer = make_lasting_peer()
    try:
        running, *_ = peer.occupy()
        queued = [peer.submit("echo", value=n, fields={"labels": LABELS}) for n in (1, 2)]
        return Busy(
            running=running,
            queued=queued,
            pong=peer.granted("pong", "ping"),
            snapshot=peer.granted("snapshot", "status"),
            running_record=peer.record(running),
            queued_record=peer.record(queued[0]),
        )
    finally:
        peer.settle()


@pytest.fixture(scope="session")
def everything(
    make_lasting_peer: MakePeer,
    journal: Journal,
    counted: Story,
    failed: Story,
    failed_twice: Story,
    stopped: Story,
    busy: Busy,
) -> Journal:
    """All that was said in this run, and at least one message of every kind."""
    peer = make_lasting_peer()
    peer.ask("no such type")
    peer.ask("ping", limit="many")
    peer.ask("status", execution_id="nobody")
    peer.ask_frames(b"", b"nonsense")
    peer.ask("unregister_progress", client_id=peer.name)
    for story in (counted, failed, failed_twice, stopped):
        peer.record(story.execution_id)
        peer.record(story.execution_id)
    peer.ask("events", execution_id=counted.execution_id)
    peer.ask("log_tail", execution_id=counted.execution_id)
    peer.ask("ping")  # What comes twice has come when this is answered.
    return journal
