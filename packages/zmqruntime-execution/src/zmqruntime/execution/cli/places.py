"""Where the command line puts what it was given no place for."""

from __future__ import annotations

from pathlib import Path

import platformdirs

__all__ = ["make_journal_path"]


def make_journal_path(app_name: str, target: str, port: int) -> Path:
    """Return the journal of the server ``target`` on ``port``, in a directory made for it.

    The target is a part of its name, so that no server finds the tasks of another one.
    """
    home = platformdirs.user_data_path(app_name, appauthor=False)
    directory = home / "journals"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{target.replace(':', '.')}-{port}.journal"
