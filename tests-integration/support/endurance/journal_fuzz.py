"""Journals that were damaged: nothing acknowledged is lost without a sentence that names it.

``python -m endurance.journal_fuzz --trials 5000 --seed 1``. Each trial builds a journal by a random
life, damages one thing, and opens it. ``--only N`` repeats trial N alone, with all it found. Exits
with 1 and a sentence when a promise is not kept.
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

from endurance.figures import Figure, tell
from endurance.journal_damage import AT_REST, RUNNING, nothing, parts_of
from endurance.journal_life import JournalLife
from rich.console import Console
from rich.progress import Progress

from zmqruntime.execution import CommitFailed, JournalError, JournalLifecycleEngine
from zmqruntime.execution.journal import disk_space, redo_log

__all__ = ["Outcome", "make_other", "run_trial"]

_PATH = Path("work", "a.journal")


class Outcome(NamedTuple):
    """What came of one trial."""

    damage: str
    verdict: str
    """`whole`, `named`, or `nothing to damage`; any other one is wrong."""
    reason: str = ""

    @property
    def is_right(self) -> bool:
        return self.verdict in ("whole", "named", "nothing to damage")


def run_trial(seed: int, trial: int, directory: Path, other: Path) -> Outcome:
    """Build a journal, damage it, open it, and judge.

    Args:
        seed: of all trials.
        trial: its number.
        directory: an empty one, for this trial.
        other: a directory with the files of another journal.
    """
    choices = Random(f"{seed}-{trial}")
    sizes = {"_PAGES_PER_CHECKPOINT": choices.choice([15, 60, 1000])}
    with _patched(disk_space, sizes), _patched(redo_log, {"_FILE_BYTES": 2**15}):
        kind = choices.choices([_at_rest, _while_it_runs, _full], [80, 14, 6])[0]
        return kind(choices, directory, other)


def make_other(directory: Path) -> None:
    """Leave the files of another journal there, of a server that was killed."""
    home = directory.with_name("other-home")
    home.mkdir()
    life = JournalLife(home / _PATH.name, Random("other"))
    life.live(60)
    life.copy(directory)
    life.engine.close()


def _live(choices: Random, directory: Path) -> tuple[JournalLife, Path]:
    """Return a life that goes on, and a directory with an older copy of its files."""
    path = directory / _PATH
    path.parent.mkdir()
    older = directory / "older"
    for _ in range(choices.randrange(2)):  # An earlier life, which ended by itself.
        life = JournalLife(path, choices)
        life.live(choices.randrange(60))
        life.engine.close()
    life = JournalLife(path, choices)
    life.live(choices.randrange(80))
    life.copy(older)
    life.live(choices.choice([1, 3, 10, 40]))
    return life, older


def _at_rest(choices: Random, directory: Path, other: Path) -> Outcome:
    life, older = _live(choices, directory)
    if choices.random() < 0.2:
        life.engine.close()
        life._hear()
        life.since = {name: {seen} for name, seen in life.acknowledged.items()}
        life.copy(directory / "left")
    else:
        life.copy(directory / "left")
        life.engine.close()
    damage = choices.choices(list(AT_REST), list(AT_REST.values()))[0]
    path = damage(directory / "left" / _PATH.name, choices, older, other)
    if path is None:
        return Outcome(damage.__name__, "nothing to damage")
    return _judge(life, path, damage.__name__, is_damaged=damage is not nothing)


def _while_it_runs(choices: Random, directory: Path, other: Path) -> Outcome:
    life, older = _live(choices, directory)
    while not life.commit():
        pass
    damage = choices.choices(list(RUNNING), list(RUNNING.values()))[0]
    name = f"{damage.__name__} while it runs"
    if damage(life.path, choices, older, other) is None:
        life.engine.close()
        return Outcome(name, "nothing to damage")
    life.live(choices.randrange(1, 20))
    life.submit("one-more")
    was_committed = life.commit()
    if not was_committed:
        with suppress(CommitFailed):
            life.engine.close()
        return Outcome(name, "named")
    if life.path.parent.exists():
        life.copy(directory / "left")
    else:
        (directory / "left").mkdir()
    with suppress(CommitFailed):
        life.engine.close()
    path = directory / "left" / _PATH.name
    return _judge(life, path, name, is_damaged=damage is not nothing)


def _full(choices: Random, directory: Path, other: Path) -> Outcome:
    """The disk has no room: files cannot get longer than some of them are."""
    life, _ = _live(choices, directory)
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
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return Outcome("full", "crash", repr(error))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if loss is not None:
        return Outcome("full", "silent loss", loss)
    return _judge(life, path, "full", is_damaged=False)


def _judge(life: JournalLife, path: Path, name: str, *, is_damaged: bool) -> Outcome:
    with _observed() as log:
        try:
            engine = JournalLifecycleEngine(path, 10_000)
        except JournalError as error:
            return Outcome(name, "named" if is_damaged else "false alarm", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            return Outcome(name, "crash", repr(error))
    loss = life.find_loss(engine)
    engine.close()
    if log:
        return Outcome(name, "named" if is_damaged else "false alarm", log[0])
    if loss is not None:
        return Outcome(name, "silent loss", loss)
    return Outcome(name, "whole")


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
def _observed() -> Iterator[list[str]]:
    """Gather what is logged as a warning or worse."""
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
    parser.add_argument("--only", type=int, help="repeat this trial alone")
    options = parser.parse_args()
    console = Console()
    logging.getLogger("zmqruntime").addHandler(logging.NullHandler())
    logging.getLogger("zmqruntime").propagate = False
    memory = Path("/dev/shm")
    counts: Counter[str] = Counter()
    wrong: list[tuple[int, Outcome]] = []
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
                if not outcome.is_right:
                    wrong.append((trial, outcome))
                    text = f"trial {trial}: {outcome.damage}: {outcome.verdict}: {outcome.reason}"
                    console.print(text[:300], soft_wrap=True, markup=False)
                progress.advance(task)
    figures = [
        Figure("damaged, and nothing was lost", counts["whole"], ""),
        Figure("damaged, and named", counts["named"], ""),
        Figure("nothing to damage", counts["nothing to damage"], ""),
        Figure("lost without a word", counts["silent loss"], "", 0),
        Figure("errors that name nothing", counts["crash"], "", 0),
        Figure("reported without a damage", counts["false alarm"], "", 0),
        Figure("refused on a full disk", counts["refused"], "", 0),
    ]
    return tell(console, figures)


if __name__ == "__main__":
    sys.exit(main())
