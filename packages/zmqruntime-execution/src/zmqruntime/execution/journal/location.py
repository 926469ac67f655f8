"""Where the journal of a server is: one rule for the class, the launcher and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["JournalChoice", "choose_journal", "default_journal_path", "make_journal_dir"]

JournalChoice = Path | str | bool | None
"""A file; True: the file in the user's data directory; False: no journal; None: no choice."""


def choose_journal(*choices: JournalChoice, default: Callable[[], Path]) -> Path | None:
    """Return the journal of the first choice that is not None; None: no journal.

    Args:
        choices: of the command line or the launcher, then of the class.
        default: returns the file in the user's data directory.
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
        class_path: of the server's class, ``module:Class``. It is part of the file name, so that
            servers of different classes use different journals.
        port: the data port, part of the file name as well.
    """
    return _default_dir(app_name) / f"{class_path.replace(':', '.')}-{port}.journal"


def make_journal_dir(journal: Path, app_name: str) -> None:
    """Create the default directory of journals (mode 0700); leave any other directory alone.

    Raises:
        JournalUnusable: the directory cannot be created.
    """
    if journal.parent == (directory := _default_dir(app_name)):
        from zmqruntime.execution.errors import JournalUnusable
        from zmqruntime.transport.lowlevel import make_dirs

        try:
            make_dirs(directory)
        except OSError as error:
            raise JournalUnusable(
                f"cannot create the directory {directory} for the journal: {error}. Create it, or "
                "name another file with journal=..."
            ) from error


def _default_dir(app_name: str) -> Path:
    # Imported here: a worker imports this module, and uses no directory.
    from zmqruntime.transport.lowlevel import default_data_dir

    return default_data_dir(app_name) / "journals"
