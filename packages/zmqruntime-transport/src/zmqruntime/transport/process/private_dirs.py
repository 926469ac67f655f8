"""Private directories, for sockets, locks and logs: created and checked."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.default_dirs import is_default_runtime_dir
from zmqruntime.transport.process.file_owners import user_id
from zmqruntime.transport.process.safe_paths import check_ancestors

__all__ = [
    "check_private_dir",
    "make_dirs",
    "make_private_dir",
]


_LOG_DIR = "log_dir"


def make_private_dir(directory: Path, setting: str = "runtime_dir") -> None:
    """Create ``directory`` if it is missing, with mode 0700, and check it.

    Args:
        directory: the directory.
        setting: the setting that configures it, for the error.

    Raises:
        EndpointError: it cannot be created; `UnsafePath` if another user could create files in it,
            or replace it.
    """
    try:
        make_dirs(directory)
    except UnsafePath as error:
        raise UnsafePath(f"{error}; {_option(setting)} names another") from error
    except OSError as error:
        if not isinstance(error, FileExistsError) or not os.path.lexists(directory):
            raise EndpointError(f"the directory {directory} cannot be made: {error}") from None
        # Another type of file: the check names it.
    check_private_dir(directory, setting)


def make_dirs(directory: Path) -> None:
    """Create a directory and its missing ancestors, with mode 0700 whatever the umask.

    One of them may be ``XDG_RUNTIME_DIR``, for which the XDG Base Directory Specification requires
    this mode.

    Raises:
        UnsafePath: another user could replace it; nothing is created.
        OSError: one of them cannot be created.
    """
    check_ancestors(directory)
    missing = [above for above in directory.parents if not above.exists()]
    for path in (*reversed(missing), directory):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not path.is_dir():
                raise
        else:
            path.chmod(0o700)


def check_private_dir(directory: Path, setting: str = "runtime_dir") -> None:
    """Raise for a directory that other users can enter or replace; a missing one is valid.

    Args:
        directory: the directory.
        setting: the setting that configures it, for the error.

    Raises:
        EndpointError: it cannot be examined; `UnsafePath` if another user could create files in
            it, or replace it.
    """
    try:
        found = directory.lstat()
        if setting == _LOG_DIR and stat.S_ISLNK(found.st_mode) and _is_mine(found):
            # The log directory may be a link of this user.
            with contextlib.suppress(FileNotFoundError):  # A dangling link is refused as a link.
                found = directory.stat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise EndpointError(f"the directory {directory} cannot be examined: {error}") from None
    if found is not None:
        _check_found(directory, found, setting)
    try:
        check_ancestors(directory)
    except UnsafePath as error:
        raise UnsafePath(f"{error}; {_option(setting)} names another") from None


def _check_found(directory: Path, found: os.stat_result, setting: str) -> None:
    if not stat.S_ISDIR(found.st_mode):
        link = ", but a symbolic link" if stat.S_ISLNK(found.st_mode) else ""
        raise UnsafePath(
            f"{directory} is not a directory{link}: remove it, or set {setting} to a directory"
        )
    user = user_id()
    if user is None:  # Windows: the directories of a profile are private.
        return
    if found.st_uid != user:
        raise UnsafePath(
            f"the directory {directory} belongs to user {found.st_uid}: set {setting} to your own"
        )
    # Logs have mode 0600: others may read the log directory, but not write in it.
    if found.st_mode & (0o022 if setting == _LOG_DIR else 0o077):
        # A chmod only for the default directory: others, such as /tmp, may need their mode.
        remedy = (
            f"run 'chmod 700 {directory}'"
            if is_default_runtime_dir(directory)
            else f"set {_option(setting)} to a directory of your own, or make this one private if "
            "no other user needs it"
        )
        act = "write into" if setting == _LOG_DIR else "enter"
        raise UnsafePath(f"others can {act} the directory {directory}: {remedy}")


def _is_mine(found: os.stat_result) -> bool:
    return found.st_uid == user_id()


def _option(setting: str) -> str:
    return f"{setting} (--{setting.replace('_', '-')})"
