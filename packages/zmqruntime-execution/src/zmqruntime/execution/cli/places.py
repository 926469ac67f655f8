"""Where the command line puts what it was given no place for."""

from __future__ import annotations

from pathlib import Path

from zmqruntime.transport.runtime_dir import default_data_dir, make_dirs

__all__ = ["make_journal_path"]


def make_journal_path(app_name: str, target: str, port: int) -> Path:
    """Return the journal of the server ``target`` on ``port``, in a directory made for it.

    The target is a part of its name, so that no server finds the tasks of another one.

    Raises:
        EndpointError: the platform has no directory for data; `UnsafePath` when another user could
            put another one in its place.
        OSError: it cannot be made.
    """
    directory = default_data_dir(app_name) / "journals"
    make_dirs(directory)
    return directory / f"{target.replace(':', '.')}-{port}.journal"
