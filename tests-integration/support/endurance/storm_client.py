"""One client of a storm: ``python -m endurance.storm_client SEED CLIENT PORT DIRECTORY``.

It submits under names of its own, follows what it has submitted, and writes down what it was told.
Killed and started again it goes on where it was. It ends when it is told that the storm is over
and all that it has submitted has ended.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from endurance.ledger import append_line
from endurance.notes import Note, Said, read_notes
from endurance.schedule import Following, Wish, plan_wish

from zmqruntime.execution import Conflict, ExecutionClient, ExecutionHandle, WaitPolicy
from zmqruntime.messages import ExecutionRecord, StateEvent
from zmqruntime.transport import (
    ConnectionFailed,
    RequestTimeout,
    ServerLost,
    TransportMode,
    ZMQConfig,
)

_T = TypeVar("_T")

OUTSTANDING = 16
PATIENCE = 180.0
# Behind a proxy the end of the server is not seen, but only that it does not answer.
POLICY = WaitPolicy(poll_interval=2.0)


class Client:
    """Wants one execution after the other, a few at a time."""

    def __init__(self, seed: int, client: int, connection: ExecutionClient, place: Path) -> None:
        self._seed = seed
        self._client = client
        self._connection = connection
        self._notes = place / f"client-{client}.notes"
        self._ledger = str(place / "ledger")
        self._over = place / "over"

    def run(self) -> None:
        """Go on from what was written down, to the end of the storm and of all executions."""
        begun: dict[int, None] = {}
        number = 0
        for note in read_notes(self._notes):
            number = max(number, note.number)
            if note.said is Said.ENDED:
                begun.pop(note.number, None)
            else:
                begun[note.number] = None
        outstanding = deque((wish, self._submit(wish)) for wish in self._wishes(begun))
        while outstanding or not self._over.exists():
            while len(outstanding) < OUTSTANDING and not self._over.exists():
                number += 1
                wish = plan_wish(self._seed, self._client, number)
                outstanding.append((wish, self._submit(wish)))
            if outstanding:
                wish, handle = outstanding.popleft()
                self._take_note(wish, Said.ENDED, self._follow(wish, handle))

    def _wishes(self, numbers: dict[int, None]) -> Iterator[Wish]:
        return (plan_wish(self._seed, self._client, number) for number in numbers)

    def _submit(self, wish: Wish) -> ExecutionHandle:
        self._take_note(wish, Said.SUBMITS)
        handle = self._insist(
            lambda: self._connection.submit_execution(
                {"ledger": self._ledger, "number": wish.number, "seconds": wish.seconds},
                execution_id=wish.execution_id,
            )
        )
        self._take_note(wish, Said.ACCEPTED)
        if wish.cancels:
            self._take_note(wish, Said.CANCELS)
            with contextlib.suppress(Conflict):  # It has ended already.
                self._insist(handle.cancel)
        return handle

    def _follow(self, wish: Wish, handle: ExecutionHandle) -> ExecutionRecord:
        match wish.following:
            case Following.PROGRESS:
                *_, last = handle.progress()
                record = handle.wait(PATIENCE, POLICY)
                assert isinstance(last, StateEvent), last
                assert last.status is record.status, (last, record)
                return record
            case Following.ATTACH:
                attached = self._insist(lambda: self._connection.attach(wish.execution_id))
                return attached.wait(PATIENCE, POLICY)
            case Following.WAIT:
                return handle.wait(PATIENCE, POLICY)

    def _take_note(self, wish: Wish, said: Said, record: ExecutionRecord | None = None) -> None:
        append_line(self._notes, Note.of(wish.number, said, record).to_json())

    def _insist(self, ask: Callable[[], _T]) -> _T:
        """Ask until there is an answer: every request may be sent twice."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except ServerLost as lost:
                self._connection.outlast(lost)
            except RequestTimeout:
                if time.monotonic() > deadline:
                    raise


def connect(client: ExecutionClient) -> None:
    """Connect to a server that may just be starting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            client.connect(wait_ready=False)
            return
        except (ConnectionFailed, RequestTimeout):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # Nobody is there who could tell.


def main() -> None:
    seed, number, port, transport, directory = json.loads(sys.argv[1])
    place = Path(directory)
    heard: list[int] = []
    connection = ExecutionClient(
        port,
        transport_mode=TransportMode(transport),
        config=ZMQConfig(runtime_dir=place / "run", log_dir=place / "log"),
        client_id=f"client-{number}",
        progress_callback=(lambda event: heard.append(event.sequence)) if number % 2 else None,
    )
    connect(connection)
    Client(seed, number, connection, place).run()
    connection.disconnect()


if __name__ == "__main__":
    main()
