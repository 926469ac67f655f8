"""Kills, suspends and disconnects server, worker and clients; no execution may be lost.

``python -m endurance.storm --seed N --kills 300``. Exits with 1 and a message when a promise is
broken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from endurance.observations import Observation, read_observations
from endurance.recording_server import read_starts
from endurance.storm_checks import History, find_violations
from endurance.storm_plan import (
    CLIENTS,
    PROXIES,
    Disruption,
    DisruptionKind,
    plan_disruptions,
    plan_execution,
)
from endurance.supervised_process import SupervisedProcess
from places import Place
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from zmqruntime.execution import ExecutionClient, UnknownExecution
from zmqruntime.messages import ExecutionRecord
from zmqruntime.testing import FaultProxy
from zmqruntime.transport import ConnectionFailed, RequestTimeout, ServerLost

__all__ = ["Outcome", "Storm"]

DRAIN_SECONDS = 180.0
_SERVER = "endurance.recording_server:RecordingServer"


@dataclass(slots=True)
class Outcome:
    """The disruptions of a storm, how the executions ended, and the violations found."""

    seconds: float = 0.0
    disruptions: Counter[DisruptionKind] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(count for kind, count in self.disruptions.items() if kind.is_kill)


class Storm:
    """A server, its clients, proxies before some of them, and the disruptions of all.

    Args:
        seed: of all that is planned.
        kills: how many processes to kill.
        on_disruption: called with the outcome so far after each disruption.
    """

    def __init__(
        self, seed: int, kills: int, on_disruption: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._seed = seed
        self._kills = kills
        self._on_disruption = on_disruption
        self._outcome = Outcome()
        self._place = Place()
        self._over = self._place.directory / "over"
        self._ended = threading.Event()
        self._server: SupervisedProcess
        self._clients: list[SupervisedProcess] = []
        self._proxies: list[FaultProxy] = []

    def run(self) -> Outcome:
        """Disrupt, wait for the clients, check all records, and clean up."""
        begun = time.monotonic()
        violations = self._outcome.violations
        with contextlib.ExitStack() as ends:
            ends.callback(self._close_place)
            self._start(ends)
            for disruption in plan_disruptions(self._seed, self._kills):
                if self._ended.wait(disruption.after):
                    break
                self._disrupt(disruption)
            self._over.touch()
            violations += self._await_clients()
            if not violations:
                violations += self._check()
        self._outcome.seconds = time.monotonic() - begun
        return self._outcome

    # -- processes ------------------------------------------------------------------------------

    def _start(self, ends: contextlib.ExitStack) -> None:
        place = self._place
        place.make_runtime_dir()  # Proxies may listen before their server.
        journal = f"--journal={place.directory / 'journal'}"
        logs = f"--log-dir={place.config.log_dir}"
        self._server = self._supervise(
            ends, "the server", "-m", "zmqruntime.execution", _SERVER, *place.options, journal, logs
        )
        self._proxies = [ends.enter_context(FaultProxy(place)) for _ in range(PROXIES)]
        direct = [place.endpoint] * (CLIENTS - PROXIES)
        for number, endpoint in enumerate([*direct, *(proxy.endpoint for proxy in self._proxies)]):
            task = [
                self._seed,
                number,
                endpoint.port,
                endpoint.transport_mode,
                str(place.directory),
            ]
            self._clients.append(
                self._supervise(
                    ends, f"client {number}", "-m", "endurance.storm_client", json.dumps(task)
                )
            )

    def _supervise(
        self, ends: contextlib.ExitStack, name: str, *arguments: str
    ) -> SupervisedProcess:
        process = SupervisedProcess(
            name,
            [sys.executable, *arguments],
            self._place.full_environment,
            self._place.directory / f"{name}.log",
            lambda _: self._ended.set(),
        )
        ends.callback(process.end)
        return process

    # -- disruptions ----------------------------------------------------------------------------

    def _disrupt(self, disruption: Disruption) -> None:
        client = self._clients[disruption.target]
        match disruption.kind:
            case DisruptionKind.KILL_SERVER:
                self._server.kill()
            case DisruptionKind.KILL_CLIENT:
                client.kill()
            case DisruptionKind.KILL_WORKER:
                self._find_worker().kill()
            case DisruptionKind.STOP_SERVER:
                self._server.suspend_for(disruption.seconds)
            case DisruptionKind.STOP_CLIENT:
                client.suspend_for(disruption.seconds)
            case DisruptionKind.STOP_WORKER:
                worker = self._find_worker()
                worker.suspend()
                self._ended.wait(disruption.seconds)
                worker.resume()
            case DisruptionKind.CUT:
                proxy = self._proxies[disruption.target % PROXIES]
                proxy.cut()
                self._ended.wait(disruption.seconds)
                proxy.restore()
        self._outcome.disruptions[disruption.kind] += 1
        self._on_disruption(self._outcome)

    def _find_worker(self) -> psutil.Process:
        """Return the worker when it is ready: a worker that fails before that ends its server."""
        with self._connect() as client:
            (worker,) = client.ping().workers
            return psutil.Process(worker.pid)

    def _connect(self) -> ExecutionClient:
        place = self._place
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            client = ExecutionClient(config=place.config)
            try:
                client.connect()
                return client
            except (ConnectionFailed, RequestTimeout, ServerLost):
                if time.monotonic() > deadline or self._ended.wait(0.02):
                    raise

    # -- checks ---------------------------------------------------------------------------------

    def _await_clients(self) -> Iterator[str]:
        """Wait until each client has seen the end of all its executions."""
        deadline = time.monotonic() + DRAIN_SECONDS
        for client in self._clients:
            code = client.wait(max(0.0, deadline - time.monotonic()))
            if code is None:
                yield f"{client.name} has not seen the end of all its executions"
            elif code != 0:
                yield f"{client.name} ended with exit code {code}: {_last_lines(client.log)}"
        if (code := self._server.exit_code) is not None:
            lines = _last_lines(self._server.log)
            yield f"the server ended without a request, with exit code {code}: {lines}"

    def _check(self) -> Iterator[str]:
        begun = read_starts(self._place.directory / "starts")
        with self._connect() as client:
            histories = dict(self._histories(client, begun))
            client.shutdown_server()
        yield from find_violations(histories, begun)
        for history in histories.values():
            record = history.record
            if record is not None:
                kind = f" ({record.error.kind})" if record.error else ""
                self._outcome.ends[f"{record.status}{kind}"] += 1
        if (code := self._server.wait(30.0)) != 0:
            yield f"the exit code of the server after a shutdown request is {code}"

    def _histories(
        self, client: ExecutionClient, begun: Counter[str]
    ) -> Iterator[tuple[str, History]]:
        for number in range(CLIENTS):
            of_client: dict[int, list[Observation]] = {}
            for observation in read_observations(
                self._place.directory / f"client-{number}.observations"
            ):
                of_client.setdefault(observation.number, []).append(observation)
            for execution, observations in of_client.items():
                planned = plan_execution(self._seed, number, execution)
                name = planned.execution_id
                yield name, History(planned, observations, _record(client, name), begun[name])

    def _close_place(self) -> None:
        """Close the place; processes and socket files that are left are violations."""
        try:
            self._place.close()
        except AssertionError as error:
            self._outcome.violations.append(f"not cleaned up: {error}")


def _record(client: ExecutionClient, execution_id: str) -> ExecutionRecord | None:
    try:
        return client.get_record(execution_id)
    except UnknownExecution:
        return None


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s storm --", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--kills", type=int, default=300)
    options = parser.parse_args()
    console = Console()
    console.print(f"storm --seed {options.seed} --kills {options.kills}")
    columns = (TextColumn("kills"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=options.kills)
        outcome = Storm(
            options.seed,
            options.kills,
            lambda so_far: progress.update(bar, completed=so_far.kills),
        ).run()
    for kind, count in outcome.disruptions.items():
        console.print(f"  {count:6} x {kind}")
    for end, count in sorted(outcome.ends.items()):
        console.print(f"  {count:6} executions {end}")
    console.print(f"{outcome.kills} kills in {outcome.seconds:.0f} s")
    if outcome.violations:
        more = f" (and {len(outcome.violations) - 1} more)" if len(outcome.violations) > 1 else ""
        again = f"nox -s storm -- --seed {options.seed} --kills {options.kills}"
        console.print(f"broken{more}: {outcome.violations[0]}; to repeat: {again}", soft_wrap=True)
        return 1
    console.print("no execution was lost or ran twice; no process or file is left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
