"""An attack on a server with a good client beside it, which must not notice.

``python -m endurance.fuzz --seed N --frames 300000 --only requests``. Exits with 1 and a sentence
when a promise is not kept; the same seed sends the same again. Loopback and local sockets only.
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
from endurance.figures import Figure, tell
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
from endurance.fuzz_verdict import Limits, Watch, judge
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

__all__ = ["Assault", "Outcome", "attack", "plan_attacks"]

FRAMES = 300_000
FILE_LIMIT = 256
_SETTLE_SECONDS = 60.0
_CLIENT_SECONDS = 90.0
_WARM_UP_PINGS = 500

Show = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Assault:
    """One attack, or several one after the other, on a server of its own."""

    names: tuple[str, ...]
    transport: TransportMode
    units: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.names[0] if len(self.names) == 1 else 'all'} ({self.transport})"


@dataclass(slots=True)
class Outcome:
    """The figures of an assault, and in words what was wrong."""

    figures: list[Figure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def plan_attacks(frames: int, only: Sequence[str] = (), *, together: bool = False) -> list[Assault]:
    """Share out so many messages and connections over attacks and transports.

    Args:
        only: names of attacks; all when empty.
        together: have all attacks of a transport on one server, as a short run does.
    """
    transports = [TransportMode.TCP, *([TransportMode.IPC] if has_unix_sockets() else [])]
    names = [name for name in ATTACKS if not only or name in only]
    whole = sum(ATTACKS[name][1] for name in names) * len(transports)
    units = {name: max(1, round(frames * ATTACKS[name][1] / whole)) for name in names}
    groups = [tuple(names)] if together and names else [(name,) for name in names]
    assaults = [
        Assault(group, transport, tuple(units[name] for name in group))
        for group in groups
        for transport in transports
    ]
    if (not only or FILES in only) and sys.platform == "linux":
        assaults += [Assault((FILES,), transport, (2 * IDLE,)) for transport in transports]
    return assaults


def attack(
    assault: Assault,
    seed: int,
    limits: Limits,
    show: Show = lambda _: None,
    *,
    hold_seconds: float = 5.0,
) -> Outcome:
    """Attack a server that is started for it, and judge what happened.

    Args:
        assault: what to send.
        seed: what it is made from.
        limits: what is promised.
        show: called with how many units were sent more.
        hold_seconds: how long connections stay open at the end of each attack.
    """
    place = Place(assault.transport, registration_timeout=0.5)
    place.leaves_socket_files = True  # It may be killed.
    try:
        plans = [
            Plan(seed, name, units, show, hold_seconds=hold_seconds)
            for name, units in zip(assault.names, assault.units, strict=True)
        ]
        return _attack(place, assault, plans, limits)
    finally:
        place.close()


def _attack(place: Place, assault: Assault, plans: Sequence[Plan], limits: Limits) -> Outcome:
    log = place.directory / "log.txt"
    options = [*place.options, f"--log-file={log}", "--registration-timeout=0.5"]
    # What is measured is what the server holds: by itself, glibc keeps up to 100 MB that were freed
    # (mallopt(3): a freed mapped block raises the threshold from which memory is given back).
    place.variables["MALLOC_TRIM_THRESHOLD_"] = str(64 * 1024)
    server = place.start("-m", "zmqruntime.execution", "endurance.fuzz_server:Attacked", *options)
    client = place.attach(server)
    process = psutil.Process(client.ping().process.pid)
    target = Target(place.endpoint, client.ping().max_message_bytes, place.directory / "planted")
    outcome = Outcome()
    with contextlib.ExitStack() as last:
        good = last.enter_context(_good_client(place))
        for _ in range(_WARM_UP_PINGS):
            client.ping()
        if FILES in assault.names:
            _limit_files(process)
        watch = last.enter_context(Watch(process))
        tally = Tally()
        for plan in plans:
            if watch.runs:
                run = idle_one_by_one if plan.name == FILES else ATTACKS[plan.name][0]
                run(target, plan, tally)
        watch.settle(_SETTLE_SECONDS, limits.memory)
        work = _finish(good)
        outcome.figures += judge(assault.title, tally, work, watch, log, target.planted, limits)
        outcome.faults += [*tally.faults, *work.failures]
    if watch.runs:
        client.shutdown_server(ShutdownMode.NOW)
    else:
        server.kill()
        said = server.output()[-500:].strip()
        outcome.faults.append(f"the server ended with exit code {server.returncode}: {said}")
    return outcome


def _limit_files(process: psutil.Process) -> None:
    """Let a process have no more than so many files open."""
    process.rlimit(psutil.RLIMIT_NOFILE, (FILE_LIMIT, FILE_LIMIT))


@contextlib.contextmanager
def _good_client(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Start the good client; what it writes beside its work is shown."""
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
        assert process.stdout.readline() == "ready\n", "the good client did not begin"
        yield process
    finally:
        process.kill()
        process.communicate()


def _finish(good: subprocess.Popen[str]) -> Work:
    """End the good client's work, and return it."""
    try:
        told = good.communicate(timeout=_CLIENT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        return Work(failures=[f"it did not end in {_CLIENT_SECONDS:g} s"])
    return Work(**json.loads(told)) if told else Work(failures=["it crashed"])


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
        for assault in plan_attacks(options.frames, options.only, together=options.together):
            bar = progress.add_task(assault.title, total=sum(assault.units))
            show = partial(_show, progress, bar)
            outcomes.append(attack(assault, options.seed, Limits(), show))
    for outcome in outcomes:
        for fault in outcome.faults:
            console.print(fault, markup=False, soft_wrap=True)
    code = tell(console, [figure for outcome in outcomes for figure in outcome.figures])
    if code:
        console.print(f"to have it again: nox -s fuzz -- --seed {options.seed} --only KIND")
    return code


def _show(progress: Progress, bar: TaskID, more: int) -> None:
    progress.advance(bar, more)


if __name__ == "__main__":
    sys.exit(main())
