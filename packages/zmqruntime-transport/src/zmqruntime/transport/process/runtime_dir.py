"""The directories for sockets, locks and logs, which only their owner can enter."""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from pathlib import Path

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.file_owners import user_id
from zmqruntime.transport.process.lasting_dir import find_lasting_dir
from zmqruntime.transport.process.private_files import check_ancestors

__all__ = [
    "check_private_dir",
    "default_data_dir",
    "default_log_dir",
    "default_runtime_dir",
    "make_dirs",
    "make_private_dir",
]


_LOG_DIR = "log_dir"


def default_runtime_dir(app_name: str) -> Path:
    """Return where sockets live: where they outlive a login, or else where the platform says.

    Raises:
        EndpointError: the platform has no such place, or another user has taken it.
    """
    return find_lasting_dir(app_name) or _platform_runtime_dir(app_name)


def _platform_runtime_dir(app_name: str) -> Path:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR platformdirs warns and falls back to a directory per user
        # below the temporary one, whose owner, mode and ancestors `make_private_dir` checks.
        warnings.simplefilter("ignore")
        return _ask_platform("user_runtime_path", "runtime_dir", app_name)


def default_log_dir(app_name: str) -> Path:
    """Return where the platform keeps the logs of this user's programs.

    Raises:
        EndpointError: the platform has no such place, as for a user without a home directory.
    """
    return _ask_platform("user_log_path", "log_dir", app_name)


def default_data_dir(app_name: str) -> Path:
    """Return where the platform keeps the data of this user's programs.

    Raises:
        EndpointError: the platform has no such place, as for a user without a home directory.
    """
    return _ask_platform("user_data_path", "journal", app_name, appauthor=False)


def _ask_platform(function: str, setting: str, app_name: str, **options: bool) -> Path:
    import platformdirs  # Not above: a worker is given its directories.

    try:
        found = getattr(platformdirs, function)(app_name, **options)
    except (OSError, RuntimeError) as error:
        raise EndpointError(
            f"no default directory for {setting}: {error}. Set {setting} to a directory of your own"
        ) from error
    assert isinstance(found, Path)
    return found


def make_private_dir(directory: Path, setting: str = "runtime_dir") -> None:
    """Make ``directory`` if it is missing, for its owner alone (mode 0700), and check it.

    Args:
        directory: what to make.
        setting: names the configuration of another one, for the error.

    Raises:
        EndpointError: it cannot be made; `UnsafePath` when another user could put files into it,
            or another directory in its place.
    """
    try:
        make_dirs(directory)
    except UnsafePath as error:
        raise UnsafePath(f"{error}; {_option(setting)} names another") from error
    except OSError as error:
        if not isinstance(error, FileExistsError) or not os.path.lexists(directory):
            raise EndpointError(f"the directory {directory} cannot be made: {error}") from None
        # Something is there that is no directory: the check names it.
    check_private_dir(directory, setting)


def make_dirs(directory: Path) -> None:
    """Make a directory, and those above it that are missing, with mode 0700 whatever the umask.

    One of them may be the platform's own for such files, which is refused when others can enter it
    (XDG Base Directory Specification, ``XDG_RUNTIME_DIR``).

    Raises:
        UnsafePath: another user could put another one in its place; nothing is made.
        OSError: one of them cannot be made.
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
    """Refuse a directory that other users can enter, or could replace; a missing one is fine.

    Args:
        directory: what to check.
        setting: names the configuration of another one, for the error.

    Raises:
        EndpointError: it cannot be examined; `UnsafePath` when another user could put files into
            it, or another directory in its place.
    """
    try:
        found = directory.lstat()
        if setting == _LOG_DIR and stat.S_ISLNK(found.st_mode) and _is_mine(found):
            # To one's own logs, one's own link may lead: not what another user has put there.
            with contextlib.suppress(FileNotFoundError):  # Then it stays a link.
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
    if user is None:  # Windows: a profile's directories are its user's own.
        return
    if found.st_uid != user:
        raise UnsafePath(
            f"the directory {directory} belongs to user {found.st_uid}: set {setting} to your own"
        )
    # Logs are files of mode 0600: others may see their names, but put none beside them.
    if found.st_mode & (0o022 if setting == _LOG_DIR else 0o077):
        # A command only for a directory made for this: others may need another one, such as /tmp.
        remedy = (
            f"run 'chmod 700 {directory}'"
            if _is_default(directory)
            else f"set {_option(setting)} to a directory of your own, or make this one private if "
            "no other user needs it"
        )
        act = "write into" if setting == _LOG_DIR else "enter"
        raise UnsafePath(f"others can {act} the directory {directory}: {remedy}")


def _is_mine(found: os.stat_result) -> bool:
    return found.st_uid == user_id()


def _is_default(directory: Path) -> bool:
    """Whether sockets live there, of whatever application, unless a setting names another place."""
    if directory == find_lasting_dir(directory.parent.name):
        return True
    try:
        return directory == _platform_runtime_dir(directory.name)
    except EndpointError:
        return False


def _option(setting: str) -> str:
    return f"{setting} (--{setting.replace('_', '-')})"
