"""Which journal a server keeps: one rule, for the class, the launcher and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["JournalChoice", "choose_journal", "default_journal_path", "make_journal_dir"]

JournalChoice = Path | str | bool | None
"""A file; True: the one in the user's data directory; False: none; None: no choice."""


def choose_journal(*choices: JournalChoice, default: Callable[[], Path]) -> Path | None:
    """Return the journal by the first of these choices that is one; without any, none.

    Args:
        choices: that of the command line or the launcher, then that of the class.
        default: returns the one in the user's data directory.
    """
    chosen = next((choice for choice in choices if choice is not None), False)
    if chosen is False:
        return None
    if chosen is True:
        return default()
    return Path(chosen)


def default_journal_path(app_name: str, class_path: str, port: int) -> Path:
    """Return the journal of a server in the user's data directory.

    Args:
        app_name: of the configuration; names the directory.
        class_path: of the server's class, ``module:Class``: a part of the name, so that no server
            finds the tasks of another one.
        port: the data port, a part of the name, too.
    """
    return _default_dir(app_name) / f"{class_path.replace(':', '.')}-{port}.journal"


def make_journal_dir(journal: Path, app_name: str) -> None:
    """Make the directory of a journal for its owner alone (0700), where it is the default one.

    Raises:
        JournalUnusable: it cannot be made.
    """
    if journal.parent == (directory := _default_dir(app_name)):
        from zmqruntime.execution.errors import JournalUnusable
        from zmqruntime.transport.lowlevel import make_dirs

        try:
            make_dirs(directory)
        except OSError as error:
            raise JournalUnusable(
                f"the directory {directory} for the journal cannot be made: {error}. Make it, or "
                "name another file with journal=..."
            ) from error


def _default_dir(app_name: str) -> Path:
    # Not above: a worker imports this module, and needs no directory.
    from zmqruntime.transport.lowlevel import default_data_dir

    return default_data_dir(app_name) / "journals"
