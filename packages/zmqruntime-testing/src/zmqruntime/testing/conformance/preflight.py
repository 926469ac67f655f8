"""Tries the standard tasks before the checks, which depend on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import TERMINAL, Peer
from zmqruntime.testing.conformance.report import CannotCheck
from zmqruntime.testing.conformance.transcript import Message, Violation, shorten

__all__ = ["standard_tasks"]

IsExpected = Callable[[Message], bool]
"""Whether a record is the expected one of a standard task."""

_SPIN_SECONDS = 0.1

_TASKS: tuple[tuple[Message, IsExpected], ...] = (
    (Message(do="echo", value="echoed"), lambda record: record["result"] == "echoed"),
    (Message(do="fail", message="expected"), lambda record: record["status"] == "failed"),
    (Message(do="count", events=2), lambda record: record["result"] == 2),
    (Message(do="spin"), lambda record: record["status"] not in TERMINAL),
)


@pytest.fixture(scope="session", autouse=True)
def standard_tasks(make_lasting_peer: MakePeer) -> None:
    """Run each standard task once, before the first check.

    Raises:
        CannotCheck: the server rejects a standard task, or its outcome is wrong.
    """
    peer = make_lasting_peer()
    for task, is_expected in _TASKS:
        # Violations of the protocol are left to the checks.
        with contextlib.suppress(Violation):
            _try(peer, task, is_expected)
    with contextlib.suppress(Violation):
        peer.cancel_all()


def _try(peer: Peer, task: Message, is_expected: IsExpected) -> None:
    reply = peer.request("execute", client_id=peer.name, task=task)
    if reply["type"] == "error":
        raise _missing_task(task, f"was rejected: {reply['message']}")
    execution_id = peer.track(reply)
    if task["do"] == "spin":
        record = peer.record(execution_id, _SPIN_SECONDS)
    else:
        record = peer.await_end(execution_id)
    if not is_expected(record):
        outcome = f"result {record['result']!r} and error {record['error']!r}"
        raise _missing_task(task, f"ended {record['status']} with {shorten(outcome)}")


def _missing_task(task: Message, why: str) -> CannotCheck:
    return CannotCheck(
        f"the server does not implement the standard task {dict(task)}, which {why}: "
        "implement the standard tasks that `zmqruntime-conformance --help` lists"
    )
