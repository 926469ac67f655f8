"""The platform's default directories for sockets, logs and journals."""

from __future__ import annotations

import warnings
from pathlib import Path

from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.state_dir import find_state_dir

__all__ = ["default_data_dir", "default_log_dir", "default_runtime_dir", "is_default_runtime_dir"]


def default_runtime_dir(app_name: str) -> Path:
    """Return the directory of sockets: the state directory, else the platform's runtime directory.

    Raises:
        EndpointError: the platform has none, or another user has created it.
    """
    return find_state_dir(app_name) or _platform_runtime_dir(app_name)


def _platform_runtime_dir(app_name: str) -> Path:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR platformdirs warns, and returns a directory below the temporary
        # one. `make_private_dir` checks its owner, mode and ancestors.
        warnings.simplefilter("ignore")
        return _find_platform_dir("user_runtime_path", "runtime_dir", app_name)


def default_log_dir(app_name: str) -> Path:
    """Return the platform's directory for logs.

    Raises:
        EndpointError: the platform has none, as for a user without a home directory.
    """
    return _find_platform_dir("user_log_path", "log_dir", app_name)


def default_data_dir(app_name: str) -> Path:
    """Return the platform's directory for data.

    Raises:
        EndpointError: the platform has none, as for a user without a home directory.
    """
    return _find_platform_dir("user_data_path", "journal", app_name, appauthor=False)


def _find_platform_dir(function: str, setting: str, app_name: str, **options: bool) -> Path:
    import platformdirs  # Not above: a worker does not need it.

    try:
        found = getattr(platformdirs, function)(app_name, **options)
    except (OSError, RuntimeError) as error:
        raise EndpointError(
            f"no default directory for {setting}: {error}. Set {setting} to a directory of your own"
        ) from error
    assert isinstance(found, Path)
    return found


def is_default_runtime_dir(directory: Path) -> bool:
    """Whether a directory is the default directory of sockets of any application."""
    if directory == find_state_dir(directory.parent.name):
        return True
    try:
        return directory == _platform_runtime_dir(directory.name)
    except EndpointError:
        return False
