"""Queue limit and history limit, which are settings of the run."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.target import Settings
from zmqruntime.testing.conformance.transcript import Violation

checks = pytest.mark.checks


@checks("C-102")
def check_task_beyond_the_queue_limit_is_rejected(peer: Peer, settings: Settings) -> None:
    if settings.max_queued is None:
        pytest.skip("--max-queued is not set")
    peer.fill_slots()
    *_, last = [peer.submit("echo", value=n) for n in range(settings.max_queued)]
    task = {"do": "echo", "value": "one too many"}
    peer.expect_error("queue_full", "execute", client_id=peer.name, task=task)
    peer.expect_reply("ok", "cancel", execution_id=last)
    peer.submit("echo", value="later")


# These checks evict the records of earlier checks.
@checks("C-058")
def check_read_record_is_evicted_after_the_history_limit(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not set")
    first = _run_and_read(peer)
    for _ in range(settings.history_limit - 1):
        _run_and_read(peer)
    # A cancel shows that it is known; a status would mark it as read again.
    peer.expect_error("conflict", "cancel", execution_id=first)
    _run_and_read(peer)
    peer.expect_error("unknown_execution", "status", execution_id=first)


@checks("C-271")
def check_unread_results_are_kept(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not set")
    names = [peer.submit("echo", value=n) for n in range(settings.history_limit + 1)]
    peer.await_end(names[-1])
    for _ in range(settings.history_limit + 1):
        _run_and_read(peer)
    for n, name in enumerate(names[:-1]):
        record = peer.await_end(name)
        if (record["status"], record["result"]) != ("complete", n):
            raise Violation(f"the unread record of {name} has lost its result")


@checks("C-272")
def check_record_that_is_read_again_is_kept_longer(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not set")
    first = _run_and_read(peer)
    for _ in range(settings.history_limit - 1):
        _run_and_read(peer)
    assert peer.record(first)["status"] == "complete"
    _run_and_read(peer)
    assert peer.record(first)["status"] == "complete"


def _run_and_read(peer: Peer) -> str:
    execution_id = peer.submit("echo", value=None)
    peer.await_end(execution_id)
    return execution_id
