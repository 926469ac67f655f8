"""Directories that only their owner can enter, where the platform wants them."""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from pathlib import Path

from zmqruntime.transport.errors import EndpointError

__all__ = ["check_private_dir", "default_log_dir", "default_runtime_dir", "make_private_dir"]


_LOG_DIR = "log_dir"


def default_runtime_dir(app_name: str) -> Path:
    """Return where the platform keeps the sockets of this user's programs."""
    import platformdirs  # Not above: a worker does not ask, nor who is told a directory.

    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR platformdirs warns and falls back to a directory per user
        # below the temporary one, whose owner and mode `make_private_dir` checks.
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path(app_name)


def default_log_dir(app_name: str) -> Path:
    """Return where the platform keeps the logs of this user's programs."""
    import platformdirs

    return platformdirs.user_log_path(app_name)


def make_private_dir(directory: Path, setting: str = "runtime_dir") -> None:
    """Make ``directory`` if it is not there, for its owner alone (mode 0700).

    Args:
        directory: what to make.
        setting: what names another one, for who reads the error.

    Raises:
        EndpointError: it is there and somebody else could put files into it.
    """
    try:
        _make(directory)
    except FileExistsError:
        pass  # Something is there, and no directory: told below.
    except OSError as error:
        raise EndpointError(f"the directory {directory} cannot be made: {error}") from None
    check_private_dir(directory, setting)


def _make(directory: Path) -> None:
    """Make a directory, and with the same mode those above it that are not there.

    One of them may be the platform's own for such files, which is none when others can enter it
    (XDG Base Directory Specification, ``XDG_RUNTIME_DIR``).
    """
    missing = [above for above in directory.parents if not above.exists()]
    for path in (*reversed(missing), directory):
        path.mkdir(mode=0o700, exist_ok=True)


def check_private_dir(directory: Path, setting: str = "runtime_dir") -> None:
    """Make sure that nobody else put what is in ``directory``; one that is not there is fine.

    Args:
        directory: what to look at.
        setting: what names another one, for who reads the error.

    Raises:
        EndpointError: it is there and somebody else could put files into it.
    """
    try:
        found = directory.lstat()
        if setting == _LOG_DIR and stat.S_ISLNK(found.st_mode) and _is_mine(found):
            # To one's own logs, one's own link may lead: not what another user has put there.
            with contextlib.suppress(FileNotFoundError):  # Then it stays a link.
                found = directory.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EndpointError(f"the directory {directory} cannot be looked at: {error}") from None
    if not hasattr(os, "geteuid"):  # Windows: a profile's directories are its user's own.
        return
    if not stat.S_ISDIR(found.st_mode):
        link = ", but a symbolic link" if stat.S_ISLNK(found.st_mode) else ""
        raise EndpointError(
            f"{directory} is not a directory{link}: remove it, or set {setting} to a directory"
        )
    if found.st_uid != os.geteuid():
        raise EndpointError(
            f"the directory {directory} belongs to user {found.st_uid}: set {setting} to your own"
        )
    # Logs are files of mode 0600: others may see their names, but put none beside them.
    if found.st_mode & (0o022 if setting == _LOG_DIR else 0o077):
        # A command only for what is made for this: another one, such as /tmp, others may need.
        is_ours = directory == default_runtime_dir(directory.name)
        remedy = (
            f"run 'chmod 700 {directory}'"
            if is_ours
            else f"set {setting} (--{setting.replace('_', '-')}) to a directory of your own, "
            "or make this one private if nobody else uses it"
        )
        act = "write into" if setting == _LOG_DIR else "enter"
        raise EndpointError(f"others can {act} the directory {directory}: {remedy}")


def _is_mine(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
