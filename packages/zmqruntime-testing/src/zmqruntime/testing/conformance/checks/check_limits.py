"""How many executions wait, and how many are kept: numbers that the run has to be told."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.settings import Settings
from zmqruntime.testing.conformance.transcript import Violation

checks = pytest.mark.checks


@checks("C-102")
def check_one_task_too_many_is_refused(peer: Peer, settings: Settings) -> None:
    if settings.max_queued is None:
        pytest.skip("--max-queued is not given")
    peer.fill_slots()
    *_, last = [peer.submit("echo", value=n) for n in range(settings.max_queued)]
    task = {"do": "echo", "value": "one too many"}
    peer.expect_error("queue_full", "execute", client_id=peer.name, task=task)
    peer.expect_reply("ok", "cancel", execution_id=last)
    peer.submit("echo", value="later")


# These make the server forget what came before.
@checks("C-058")
def check_an_id_is_known_until_as_many_later_ones_were_read(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not given")
    first = _run_and_read(peer)
    for _ in range(settings.history_limit - 1):
        _run_and_read(peer)
    # It is known as ended: to ask for its record would have it kept for longer.
    peer.expect_error("conflict", "cancel", execution_id=first)
    _run_and_read(peer)
    peer.expect_error("unknown_execution", "status", execution_id=first)


@checks("C-271")
def check_results_that_were_not_read_wait_for_their_reader(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not given")
    names = [peer.submit("echo", value=n) for n in range(settings.history_limit + 1)]
    peer.await_end(names[-1])
    for _ in range(settings.history_limit + 1):
        _run_and_read(peer)
    for n, name in enumerate(names[:-1]):
        record = peer.await_end(name)
        if (record["status"], record["result"]) != ("complete", n):
            raise Violation(f"the record of {name}, which was not read before, has not its result")


@checks("C-272")
def check_a_record_that_is_read_again_is_kept_for_longer(peer: Peer, settings: Settings) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not given")
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
