"""One client of a storm: ``python -m endurance.storm_client SEED CLIENT PORT DIRECTORY``.

It submits executions under its own ids, follows them, and records what it observes in a file.
After a restart it continues from that file. It ends when the storm is over and all its executions
have ended.
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

from endurance.observations import Observation, Step, read_observations
from endurance.recording_server import append_line
from endurance.storm_plan import Following, PlannedExecution, plan_execution

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
# Behind a proxy the end of the server is not visible: only the missing reply is.
POLICY = WaitPolicy(poll_interval=2.0)


class Client:
    """Submits planned executions, up to `OUTSTANDING` at a time."""

    def __init__(self, seed: int, client: int, connection: ExecutionClient, place: Path) -> None:
        self._seed = seed
        self._client = client
        self._connection = connection
        self._observations = place / f"client-{client}.observations"
        self._starts = str(place / "starts")
        self._over = place / "over"

    def run(self) -> None:
        """Continue from the recorded observations, until the storm is over and all have ended."""
        pending: dict[int, None] = {}
        number = 0
        for observation in read_observations(self._observations):
            number = max(number, observation.number)
            if observation.step is Step.ENDED:
                pending.pop(observation.number, None)
            else:
                pending[observation.number] = None
        outstanding = deque((planned, self._submit(planned)) for planned in self._plan(pending))
        while outstanding or not self._over.exists():
            while len(outstanding) < OUTSTANDING and not self._over.exists():
                number += 1
                planned = plan_execution(self._seed, self._client, number)
                outstanding.append((planned, self._submit(planned)))
            if outstanding:
                planned, handle = outstanding.popleft()
                self._record(planned, Step.ENDED, self._follow(planned, handle))

    def _plan(self, numbers: dict[int, None]) -> Iterator[PlannedExecution]:
        return (plan_execution(self._seed, self._client, number) for number in numbers)

    def _submit(self, planned: PlannedExecution) -> ExecutionHandle:
        self._record(planned, Step.SUBMITS)
        handle = self._retry(
            lambda: self._connection.submit_execution(
                {"starts": self._starts, "number": planned.number, "seconds": planned.seconds},
                execution_id=planned.execution_id,
            )
        )
        self._record(planned, Step.ACCEPTED)
        if planned.is_cancelled:
            self._record(planned, Step.CANCELS)
            with contextlib.suppress(Conflict):  # The execution has already ended.
                self._retry(handle.cancel)
        return handle

    def _follow(self, planned: PlannedExecution, handle: ExecutionHandle) -> ExecutionRecord:
        match planned.following:
            case Following.PROGRESS:
                *_, last = handle.progress()
                record = handle.wait(PATIENCE, POLICY)
                assert isinstance(last, StateEvent), last
                assert last.status is record.status, (last, record)
                return record
            case Following.ATTACH:
                attached = self._retry(lambda: self._connection.attach(planned.execution_id))
                return attached.wait(PATIENCE, POLICY)
            case Following.WAIT:
                return handle.wait(PATIENCE, POLICY)

    def _record(
        self, planned: PlannedExecution, step: Step, record: ExecutionRecord | None = None
    ) -> None:
        append_line(self._observations, Observation.of(planned.number, step, record).to_json())

    def _retry(self, request: Callable[[], _T]) -> _T:
        """Repeat a request, which has to be idempotent, until a reply arrives."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return request()
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
            time.sleep(0.02)  # No server can notify this client.


def main() -> None:
    seed, number, port, transport, directory = json.loads(sys.argv[1])
    place = Path(directory)
    sequences: list[int] = []
    connection = ExecutionClient(
        port,
        transport_mode=TransportMode(transport),
        config=ZMQConfig(runtime_dir=place / "run", log_dir=place / "log"),
        client_id=f"client-{number}",
        progress_callback=(lambda event: sequences.append(event.sequence)) if number % 2 else None,
    )
    connect(connection)
    Client(seed, number, connection, place).run()
    connection.disconnect()


if __name__ == "__main__":
    main()
