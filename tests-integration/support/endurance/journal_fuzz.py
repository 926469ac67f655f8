"""Damages journals: no acknowledged state may be lost without an error or a log line about it.

``python -m endurance.journal_fuzz --trials 5000 --seed 1``. Each trial drives a journal by random
events, damages one file, and opens it. ``--only N`` repeats trial N and prints its outcome. Exits
with 1 and a message when a promise is broken.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from endurance.figures import Figure, print_figures
from endurance.journal_damage import CLOSED, OPEN, nothing, parts_of
from endurance.journal_life import JournalLife
from rich.console import Console
from rich.progress import Progress

from zmqruntime.execution import CommitFailed, JournalError, JournalLifecycleEngine
from zmqruntime.execution.journal import disk_space, redo_log

__all__ = ["Outcome", "make_other", "run_trial"]

_PATH = Path("work", "a.journal")


class Outcome(NamedTuple):
    """The outcome of one trial."""

    damage: str
    verdict: str
    """`intact`, `reported`, or `nothing to damage`; any other value is a failure."""
    reason: str = ""

    @property
    def is_success(self) -> bool:
        return self.verdict in ("intact", "reported", "nothing to damage")


def run_trial(seed: int, trial: int, directory: Path, other: Path) -> Outcome:
    """Build a journal, damage it, open it, and compare it with what was acknowledged.

    Args:
        seed: of the whole run.
        trial: the number of the trial.
        directory: an empty one, for this trial.
        other: a directory with the files of another journal.
    """
    choices = Random(f"{seed}-{trial}")
    sizes = {"_PAGES_PER_CHECKPOINT": choices.choice([15, 60, 1000])}
    with _patched(disk_space, sizes), _patched(redo_log, {"_FILE_BYTES": 2**15}):
        run = choices.choices([_damage_closed, _damage_open, _fill_disk], [80, 14, 6])[0]
        return run(choices, directory, other)


def make_other(directory: Path) -> None:
    """Write the files of another journal, whose server was killed, to ``directory``."""
    home = directory.with_name("other-home")
    home.mkdir()
    life = JournalLife(home / _PATH.name, Random("other"))
    life.live(60)
    life.copy(directory)
    life.engine.close()


def _build(choices: Random, directory: Path) -> tuple[JournalLife, Path]:
    """Return an open journal, and a directory with an older copy of its files."""
    path = directory / _PATH
    path.parent.mkdir()
    older = directory / "older"
    for _ in range(choices.randrange(2)):  # Of an earlier server, which was closed.
        life = JournalLife(path, choices)
        life.live(choices.randrange(60))
        life.engine.close()
    life = JournalLife(path, choices)
    life.live(choices.randrange(80))
    life.copy(older)
    life.live(choices.choice([1, 3, 10, 40]))
    return life, older


def _damage_closed(choices: Random, directory: Path, other: Path) -> Outcome:
    life, older = _build(choices, directory)
    if choices.random() < 0.2:
        life.engine.close()
        life.acknowledge()
        life.possible = {name: {seen} for name, seen in life.acknowledged.items()}
        life.copy(directory / "left")
    else:
        life.copy(directory / "left")
        life.engine.close()
    damage = choices.choices(list(CLOSED), list(CLOSED.values()))[0]
    path = damage(directory / "left" / _PATH.name, choices, older, other)
    if path is None:
        return Outcome(damage.__name__, "nothing to damage")
    return _open_damaged(life, path, damage.__name__, is_damaged=damage is not nothing)


def _damage_open(choices: Random, directory: Path, other: Path) -> Outcome:
    life, older = _build(choices, directory)
    while not life.commit():
        pass
    damage = choices.choices(list(OPEN), list(OPEN.values()))[0]
    name = f"{damage.__name__} of an open journal"
    if damage(life.path, choices, older, other) is None:
        life.engine.close()
        return Outcome(name, "nothing to damage")
    life.live(choices.randrange(1, 20))
    life.submit("one-more")
    was_committed = life.commit()
    if not was_committed:
        with suppress(CommitFailed):
            life.engine.close()
        return Outcome(name, "reported")
    if life.path.parent.exists():
        life.copy(directory / "left")
    else:
        (directory / "left").mkdir()
    with suppress(CommitFailed):
        life.engine.close()
    path = directory / "left" / _PATH.name
    return _open_damaged(life, path, name, is_damaged=damage is not nothing)


def _fill_disk(choices: Random, directory: Path, other: Path) -> Outcome:
    """Open a journal on a full disk: no file can grow beyond the size of one of them."""
    life, _ = _build(choices, directory)
    life.copy(directory / "left")
    life.engine.close()
    path = directory / "left" / _PATH.name
    sizes = [0, 1, *(part.stat().st_size for part in parts_of(path))]
    limit = choices.choice(sizes)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        engine = JournalLifecycleEngine(path, 10_000)
        loss = life.find_loss(engine)
        engine.catch_up()
        with suppress(CommitFailed):
            engine.commit()
        with suppress(CommitFailed):
            engine.close()
    except JournalError as error:
        return Outcome("full", "refused", str(error))
    except Exception as error:  # noqa: BLE001 - any other error is a finding
        return Outcome("full", "crash", repr(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if loss is not None:
        return Outcome("full", "silent loss", loss)
    return _open_damaged(life, path, "full", is_damaged=False)


def _open_damaged(life: JournalLife, path: Path, name: str, *, is_damaged: bool) -> Outcome:
    with _collected_warnings() as log:
        try:
            engine = JournalLifecycleEngine(path, 10_000)
        except JournalError as error:
            return Outcome(name, "reported" if is_damaged else "false alarm", str(error))
        except Exception as error:  # noqa: BLE001 - any other error is a finding
            return Outcome(name, "crash", repr(error))
    loss = life.find_loss(engine)
    engine.close()
    if log:
        return Outcome(name, "reported" if is_damaged else "false alarm", log[0])
    if loss is not None:
        return Outcome(name, "silent loss", loss)
    return Outcome(name, "intact")


@contextmanager
def _patched(module: object, values: dict[str, int]) -> Iterator[None]:
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Return a list to which the messages of warnings and errors are added."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("zmqruntime")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m endurance.journal_fuzz")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat one trial")
    options = parser.parse_args()
    console = Console()
    logging.getLogger("zmqruntime").addHandler(logging.NullHandler())
    logging.getLogger("zmqruntime").propagate = False
    memory = Path("/dev/shm")
    counts: Counter[str] = Counter()
    failures: list[tuple[int, Outcome]] = []
    trials = range(options.trials) if options.only is None else [options.only]
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        other = Path(home, "other")
        make_other(other)
        with Progress(console=console) as progress:
            task = progress.add_task("trials", total=len(trials))
            for trial in trials:
                place = Path(home, "trial")
                place.mkdir()
                outcome = run_trial(options.seed, trial, place, other)
                shutil.rmtree(place)
                counts[outcome.verdict] += 1
                if options.only is not None:
                    console.print(outcome, soft_wrap=True)
                if not outcome.is_success:
                    failures.append((trial, outcome))
                    text = f"trial {trial}: {outcome.damage}: {outcome.verdict}: {outcome.reason}"
                    console.print(text[:300], soft_wrap=True, markup=False)
                progress.advance(task)
    figures = [
        Figure("damaged, nothing lost", counts["intact"], ""),
        Figure("damaged, reported", counts["reported"], ""),
        Figure("nothing to damage", counts["nothing to damage"], ""),
        Figure("silent losses", counts["silent loss"], "", 0),
        Figure("other exceptions", counts["crash"], "", 0),
        Figure("reported without damage", counts["false alarm"], "", 0),
        Figure("refused on a full disk", counts["refused"], "", 0),
    ]
    return print_figures(console, figures)


if __name__ == "__main__":
    sys.exit(main())
