"""Shutdown of the server; runs only with the option ``--shutdown``."""

from __future__ import annotations

import pytest

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance.peer import Peer

checks = pytest.mark.checks
ends = pytest.mark.ends


@checks("C-084")
@ends(*ShutdownMode)
def check_unknown_shutdown_mode_is_rejected(peer: Peer) -> None:
    for mode in ("later", None):
        peer.expect_error("invalid_request", "shutdown", mode=mode)


@checks("C-083", "C-084", "C-085", "C-090", "C-091", "C-104")
@ends(ShutdownMode.DRAIN)
def check_drain_finishes_queued_executions_and_rejects_new_ones(peer: Peer) -> None:
    (spinning, *others) = peer.fill_slots()
    queued = peer.submit("echo", value="drained")
    assert peer.expect_reply("shutdown_ack", "shutdown")["mode"] == "drain"
    work = {"client_id": peer.name, "task": {"do": "echo", "value": 1}}
    peer.expect_error("shutting_down", "execute", **work)
    assert peer.expect_reply("pong", "ping")["ready"] is False
    assert peer.record(queued)["status"] == "queued"
    held = peer.send_request("status", execution_id=queued, wait_seconds=60)
    for execution_id in (spinning, *others):
        peer.expect_reply("ok", "cancel", execution_id=execution_id)
    record = peer.await_held(held)["execution"]
    assert (record["status"], record["result"]) == ("complete", "drained")
    assert peer.events_to_end(queued)[-1].body["status"] == "complete"
    peer.untrack_all()
    assert peer.await_disconnect(), "the server did not close the connection"


@checks("C-083", "C-084", "C-086", "C-087", "C-088", "C-089", "C-091", "C-104")
@ends(ShutdownMode.NOW)
def check_now_ends_all_executions(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    queued = peer.submit("echo", value="never")
    assert peer.expect_reply("shutdown_ack", "shutdown", mode="drain")["mode"] == "drain"
    peer.untrack_all()
    now = peer.send_request("shutdown", mode="now")
    peer.send_request("shutdown", mode="drain")  # Must not change the mode.
    assert peer.await_reply(now)["mode"] == "now"
    terminal = peer.events_to_end(queued)[-1].body
    assert (terminal["status"], terminal["error"]["kind"]) == ("cancelled", "interrupted")
    terminal = peer.events_to_end(spinning)[-1].body
    assert (terminal["status"], terminal["error"]["kind"]) == ("failed", "interrupted")
    assert peer.await_disconnect(), "the server did not close the connection"
