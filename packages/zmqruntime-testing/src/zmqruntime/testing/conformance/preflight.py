"""Whether the server has the standard tasks at all: without them no check means anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import TERMINAL, Peer
from zmqruntime.testing.conformance.report import CannotCheck
from zmqruntime.testing.conformance.transcript import Message, Violation, shorten

__all__ = ["standard_tasks"]

Ending = Callable[[Message], bool]
"""Whether a record is one of a task that did what it should."""

_SPIN_SECONDS = 0.1

_TASKS: tuple[tuple[Message, Ending], ...] = (
    (Message(do="echo", value="heard"), lambda record: record["result"] == "heard"),
    (Message(do="fail", message="as told"), lambda record: record["status"] == "failed"),
    (Message(do="count", events=2), lambda record: record["result"] == 2),
    (Message(do="spin"), lambda record: record["status"] not in TERMINAL),
)


@pytest.fixture(scope="session", autouse=True)
def standard_tasks(make_lasting_peer: MakePeer) -> None:
    """Have each of them done once, before any check.

    Raises:
        CannotCheck: the server takes one, and something else becomes of it; or refuses it.
    """
    peer = make_lasting_peer()
    for task, is_done in _TASKS:
        # A server that breaks the protocol here is for the checks to judge.
        with contextlib.suppress(Violation):
            _try(peer, task, is_done)
    with contextlib.suppress(Violation):
        peer.cancel_all()


def _try(peer: Peer, task: Message, is_done: Ending) -> None:
    reply = peer.request("execute", client_id=peer.name, task=task)
    if reply["type"] == "error":
        raise _missing_task(task, f"is refused: {reply['message']}")
    execution_id = peer.track(reply)
    if task["do"] == "spin":
        record = peer.record(execution_id, _SPIN_SECONDS)
    else:
        record = peer.await_end(execution_id)
    if not is_done(record):
        told = f"has result {record['result']!r} and error {record['error']!r}"
        raise _missing_task(task, f"ends as {record['status']} and {shorten(told)}")


def _missing_task(task: Message, why: str) -> CannotCheck:
    return CannotCheck(
        f"the server does not do the standard task {dict(task)}, which {why}; "
        "give it the standard tasks that `zmqruntime-conformance --help` lists"
    )
