"""Attacks a server that serves a well-behaved client, which must not be affected.

``python -m endurance.fuzz --seed N --frames 300000 --only requests``. Exits with 1 and a message
when a promise is broken; the same seed repeats the same attack. Loopback and local sockets only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import psutil
from endurance.figures import Figure, print_figures
from endurance.fuzz_attacks import (
    ATTACKS,
    FILES,
    IDLE,
    Plan,
    Tally,
    Target,
    has_unix_sockets,
    idle_one_by_one,
)
from endurance.fuzz_client import Work
from endurance.fuzz_monitor import Limits, ServerMonitor, make_figures
from places import Place
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from zmqruntime.messages import ShutdownMode
from zmqruntime.transport import TransportMode

__all__ = ["AttackRun", "Outcome", "attack", "plan_attacks"]

FRAMES = 300_000
FILE_LIMIT = 256
_SETTLE_SECONDS = 60.0
_CLIENT_SECONDS = 90.0
_WARM_UP_PINGS = 500

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class AttackRun:
    """One attack, or several one after the other, on a server of its own."""

    names: tuple[str, ...]
    transport: TransportMode
    units: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.names[0] if len(self.names) == 1 else 'all'} ({self.transport})"


@dataclass(slots=True)
class Outcome:
    """The figures of a run, and its violations."""

    figures: list[Figure] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def plan_attacks(
    frames: int, only: Sequence[str] = (), *, together: bool = False
) -> list[AttackRun]:
    """Distribute messages and connections over attacks and transports.

    Args:
        only: names of attacks; all when empty.
        together: whether one server per transport gets all attacks, as in a short run.
    """
    transports = [TransportMode.TCP, *([TransportMode.IPC] if has_unix_sockets() else [])]
    names = [name for name in ATTACKS if not only or name in only]
    whole = sum(ATTACKS[name][1] for name in names) * len(transports)
    units = {name: max(1, round(frames * ATTACKS[name][1] / whole)) for name in names}
    groups = [tuple(names)] if together and names else [(name,) for name in names]
    runs = [
        AttackRun(group, transport, tuple(units[name] for name in group))
        for group in groups
        for transport in transports
    ]
    if (not only or FILES in only) and sys.platform == "linux":
        runs += [AttackRun((FILES,), transport, (2 * IDLE,)) for transport in transports]
    return runs


def attack(
    run: AttackRun,
    seed: int,
    limits: Limits,
    on_progress: OnProgress = lambda _: None,
    *,
    hold_seconds: float = 5.0,
) -> Outcome:
    """Start a server, attack it, and measure the effects.

    Args:
        run: the attacks.
        seed: of all random data.
        limits: the promises.
        on_progress: called with the number of units sent since the last call.
        hold_seconds: how long connections stay open at the end of each attack.
    """
    place = Place(run.transport, registration_timeout=0.5)
    place.leaves_socket_files = True  # The server may be killed.
    try:
        plans = [
            Plan(seed, name, units, on_progress, hold_seconds=hold_seconds)
            for name, units in zip(run.names, run.units, strict=True)
        ]
        return _attack(place, run, plans, limits)
    finally:
        place.close()


def _attack(place: Place, run: AttackRun, plans: Sequence[Plan], limits: Limits) -> Outcome:
    log = place.directory / "log.txt"
    options = [*place.options, f"--log-file={log}", "--registration-timeout=0.5"]
    # By default, glibc keeps up to 100 MB of freed memory, since a freed mapped block raises the
    # trim threshold (mallopt(3)).
    place.variables["MALLOC_TRIM_THRESHOLD_"] = str(64 * 1024)
    server = place.start("-m", "zmqruntime.execution", "endurance.fuzz_server:Attacked", *options)
    client = place.attach(server)
    process = psutil.Process(client.ping().process.pid)
    target = Target(place.endpoint, client.ping().max_message_bytes, place.directory / "planted")
    outcome = Outcome()
    with contextlib.ExitStack() as stack:
        client_process = stack.enter_context(_started_client(place))
        for _ in range(_WARM_UP_PINGS):
            client.ping()
        if FILES in run.names:
            _limit_files(process)
        watch = stack.enter_context(ServerMonitor(process))
        tally = Tally()
        for plan in plans:
            if watch.runs:
                attack_server = idle_one_by_one if plan.name == FILES else ATTACKS[plan.name][0]
                attack_server(target, plan, tally)
        watch.settle(_SETTLE_SECONDS, limits.memory)
        work = _finish(client_process)
        outcome.figures += make_figures(run.title, tally, work, watch, log, target.planted, limits)
        outcome.violations += [*tally.violations, *work.failures]
    if watch.runs:
        client.shutdown_server(ShutdownMode.NOW)
    else:
        server.kill()
        output = server.output()[-500:].strip()
        outcome.violations.append(f"the server ended with exit code {server.returncode}: {output}")
    return outcome


def _limit_files(process: psutil.Process) -> None:
    """Limit the number of open files of a process."""
    process.rlimit(psutil.RLIMIT_NOFILE, (FILE_LIMIT, FILE_LIMIT))


@contextlib.contextmanager
def _started_client(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Start the well-behaved client."""
    assert place.transport is not None
    arguments = (str(place.directory), str(place.config.default_port), place.transport.value)
    process = subprocess.Popen(
        [sys.executable, "-m", "endurance.fuzz_client", *arguments],
        env=place.full_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the well-behaved client did not start"
        yield process
    finally:
        process.kill()
        process.communicate()


def _finish(process: subprocess.Popen[str]) -> Work:
    """End the well-behaved client's work, and return its measurements."""
    try:
        output = process.communicate(timeout=_CLIENT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        return Work(failures=[f"the client did not end within {_CLIENT_SECONDS:g} s"])
    return Work(**json.loads(output)) if output else Work(failures=["the client crashed"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s fuzz --", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--only", choices=[*ATTACKS, FILES], action="append", default=[])
    parser.add_argument("--together", action="store_true", help="one server for all attacks")
    options = parser.parse_args()
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    outcomes = []
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for run in plan_attacks(options.frames, options.only, together=options.together):
            bar = progress.add_task(run.title, total=sum(run.units))
            on_progress = partial(_advance, progress, bar)
            outcomes.append(attack(run, options.seed, Limits(), on_progress))
    for outcome in outcomes:
        for violation in outcome.violations:
            console.print(violation, markup=False, soft_wrap=True)
    code = print_figures(console, [figure for outcome in outcomes for figure in outcome.figures])
    if code:
        console.print(f"to repeat: nox -s fuzz -- --seed {options.seed} --only KIND")
    return code


def _advance(progress: Progress, bar: TaskID, more: int) -> None:
    progress.advance(bar, more)


if __name__ == "__main__":
    sys.exit(main())
