"""How many executions wait, and how many are kept: numbers that the run has to be told."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.settings import Settings

checks = pytest.mark.checks


@checks("C-102")
def check_one_task_too_many_is_refused(peer: Peer, settings: Settings) -> None:
    if settings.max_queued is None:
        pytest.skip("--max-queued is not given")
    peer.occupy()
    *_, last = [peer.submit("echo", value=n) for n in range(settings.max_queued)]
    task = {"do": "echo", "value": "one too many"}
    peer.refused("queue_full", "execute", client_id=peer.name, task=task)
    peer.granted("ok", "cancel", execution_id=last)
    peer.submit("echo", value="later")


# This one makes the server forget what came before.
@checks("C-058")
def check_an_id_is_known_until_as_many_later_ones_have_ended(
    peer: Peer, settings: Settings
) -> None:
    if settings.history_limit is None:
        pytest.skip("--history-limit is not given")

    def run() -> str:
        execution_id = peer.submit("echo", value=None)
        peer.finish(execution_id)
        return execution_id

    first = run()
    for _ in range(settings.history_limit - 1):
        run()
    assert peer.record(first)["status"] == "complete"
    run()
    peer.refused("unknown_execution", "status", execution_id=first)
