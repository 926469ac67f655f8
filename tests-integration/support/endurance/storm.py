"""A storm: server, worker and clients are killed, stopped and cut off, and nothing may be lost.

``python -m endurance.storm --seed N --kills 300``. Exits with 1 and a sentence when something is.
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
from endurance.kept import Kept
from endurance.ledger import read_ledger
from endurance.notes import Note, read_notes
from endurance.schedule import CLIENTS, PROXIES, Blow, Deed, plan_blows, plan_wish
from endurance.verdict import History, find_faults
from places import Place
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from zmqruntime.execution import ExecutionClient, UnknownExecution
from zmqruntime.messages import ExecutionRecord
from zmqruntime.testing import FaultProxy
from zmqruntime.transport import ConnectionFailed, RequestTimeout, ServerLost

__all__ = ["Outcome", "Storm"]

DRAIN_SECONDS = 180.0
_SERVER = "endurance.ledger:Ledger"


@dataclass(slots=True)
class Outcome:
    """What a storm did, and what was found broken behind it."""

    seconds: float = 0.0
    deeds: Counter[Deed] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(count for deed, count in self.deeds.items() if deed.is_kill)


class Storm:
    """A server, its clients, the proxies between some of them, and what happens to them all.

    Args:
        seed: of all that is planned.
        kills: how many processes to kill.
        on_blow: called with the outcome so far, behind each blow.
    """

    def __init__(
        self, seed: int, kills: int, on_blow: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        self._seed = seed
        self._kills = kills
        self._on_blow = on_blow
        self._outcome = Outcome()
        self._place = Place()
        self._over = self._place.directory / "over"
        self._ended = threading.Event()
        self._server: Kept
        self._clients: list[Kept] = []
        self._proxies: list[FaultProxy] = []

    def run(self) -> Outcome:
        """Let it blow, look at what is left, and leave nothing behind."""
        begun = time.monotonic()
        faults = self._outcome.faults
        with contextlib.ExitStack() as ends:
            ends.callback(self._leave)
            self._start(ends)
            for blow in plan_blows(self._seed, self._kills):
                if self._ended.wait(blow.after):
                    break
                self._strike(blow)
            self._over.touch()
            faults += self._end_clients()
            if not faults:
                faults += self._judge()
        self._outcome.seconds = time.monotonic() - begun
        return self._outcome

    # -- who is there ---------------------------------------------------------------------------

    def _start(self, ends: contextlib.ExitStack) -> None:
        place = self._place
        place.make_runtime_dir()  # Proxies may be there before their server.
        journal = f"--journal={place.directory / 'journal'}"
        logs = f"--log-dir={place.config.log_dir}"
        self._server = self._keep(
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
                self._keep(
                    ends, f"client {number}", "-m", "endurance.storm_client", json.dumps(task)
                )
            )

    def _keep(self, ends: contextlib.ExitStack, name: str, *arguments: str) -> Kept:
        kept = Kept(
            name,
            [sys.executable, *arguments],
            self._place.full_environment,
            self._place.directory / f"{name}.log",
            lambda _: self._ended.set(),
        )
        ends.callback(kept.end)
        return kept

    # -- what happens to them -------------------------------------------------------------------

    def _strike(self, blow: Blow) -> None:
        client = self._clients[blow.whom]
        match blow.deed:
            case Deed.KILL_SERVER:
                self._server.kill()
            case Deed.KILL_CLIENT:
                client.kill()
            case Deed.KILL_WORKER:
                self._find_worker().kill()
            case Deed.STOP_SERVER:
                self._server.stop_for(blow.lasts)
            case Deed.STOP_CLIENT:
                client.stop_for(blow.lasts)
            case Deed.STOP_WORKER:
                worker = self._find_worker()
                worker.suspend()
                self._ended.wait(blow.lasts)
                worker.resume()
            case Deed.CUT:
                proxy = self._proxies[blow.whom % PROXIES]
                proxy.cut()
                self._ended.wait(blow.lasts)
                proxy.restore()
        self._outcome.deeds[blow.deed] += 1
        self._on_blow(self._outcome)

    def _find_worker(self) -> psutil.Process:
        """Return the worker when it is ready: one that never was ends its server, by design."""
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

    # -- what is left of it ---------------------------------------------------------------------

    def _end_clients(self) -> Iterator[str]:
        """Wait until each client has seen the end of all that it submitted."""
        deadline = time.monotonic() + DRAIN_SECONDS
        for client in self._clients:
            code = client.wait(max(0.0, deadline - time.monotonic()))
            if code is None:
                yield f"{client.name} has not seen the end of all that it submitted"
            elif code != 0:
                yield f"{client.name} ended with exit code {code}: {_last_words(client.log)}"
        if (code := self._server.exit_code) is not None:
            words = _last_words(self._server.log)
            yield f"the server ended by itself, with exit code {code}: {words}"

    def _judge(self) -> Iterator[str]:
        begun = read_ledger(self._place.directory / "ledger")
        with self._connect() as client:
            histories = dict(self._histories(client, begun))
            client.shutdown_server()
        yield from find_faults(histories, begun)
        for history in histories.values():
            record = history.record
            if record is not None:
                kind = f" ({record.error.kind})" if record.error else ""
                self._outcome.ends[f"{record.status}{kind}"] += 1
        if (code := self._server.wait(30.0)) != 0:
            yield f"the server was told to end, and its exit code is {code}"

    def _histories(
        self, client: ExecutionClient, begun: Counter[str]
    ) -> Iterator[tuple[str, History]]:
        for number in range(CLIENTS):
            of_one: dict[int, list[Note]] = {}
            for note in read_notes(self._place.directory / f"client-{number}.notes"):
                of_one.setdefault(note.number, []).append(note)
            for wanted, notes in of_one.items():
                wish = plan_wish(self._seed, number, wanted)
                name = wish.execution_id
                yield name, History(wish, notes, _record(client, name), begun[name])

    def _leave(self) -> None:
        """Look for processes and socket files that should not be there."""
        try:
            self._place.close()
        except AssertionError as error:
            self._outcome.faults.append(f"something was left behind: {error}")


def _record(client: ExecutionClient, execution_id: str) -> ExecutionRecord | None:
    try:
        return client.get_record(execution_id)
    except UnknownExecution:
        return None


def _last_words(log: Path) -> str:
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
    for deed, count in outcome.deeds.items():
        console.print(f"  {count:6} x {deed}")
    for end, count in sorted(outcome.ends.items()):
        console.print(f"  {count:6} executions {end}")
    console.print(f"{outcome.kills} kills in {outcome.seconds:.0f} s")
    if outcome.faults:
        more = f" (and {len(outcome.faults) - 1} more)" if len(outcome.faults) > 1 else ""
        again = f"nox -s storm -- --seed {options.seed} --kills {options.kills}"
        console.print(
            f"broken{more}: {outcome.faults[0]}; to see it again: {again}", soft_wrap=True
        )
        return 1
    console.print("nothing was lost, nothing ran twice, nothing is left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
