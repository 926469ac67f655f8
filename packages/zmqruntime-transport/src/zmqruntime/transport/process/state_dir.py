"""The state directory, in which the sockets of a server outlive the login of its user.

``XDG_RUNTIME_DIR`` is removed at the last logout of its user (XDG Base Directory Specification),
and old files below ``/tmp`` by programs such as tmpreaper.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zmqruntime.transport.config import MAX_PORT
from zmqruntime.transport.endpoint import ipc_path_limit
from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process.safe_paths import check_ancestors

__all__ = ["find_state_dir", "is_unsuitable"]

# Shared between machines, which must not share sockets and locks; the last ones have no sockets.
_UNSUITABLE: Final = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "gfs",
        "gfs2",
        "ocfs2",
        "glusterfs",
        "virtiofs",
        "vfat",
        "exfat",
        "ntfs3",
        "fuseblk",
    ]
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def find_state_dir(app_name: str) -> Path | None:
    """Return ``run`` in the application's state directory; None: it cannot be used for sockets.

    That is, its path is too long, this user cannot write there or others can, or its file system
    is shared with other machines. macOS and Windows have no state directory.
    """
    if sys.platform in ("win32", "darwin"):
        return None
    import platformdirs  # Not above: a worker does not need it.

    try:
        directory = platformdirs.user_state_path(app_name) / "run"
    except (OSError, RuntimeError):  # No home directory.
        return None
    longest = directory / f"{app_name}-{MAX_PORT}.sock"
    if not directory.is_absolute() or len(os.fsencode(longest)) > ipc_path_limit():
        return None
    try:
        check_ancestors(directory)
        existing = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK) or _is_on_unsuitable(existing):
            return None
    except (OSError, UnsafePath):
        return None
    return directory


def is_unsuitable(device: int, mounts: Iterable[bytes]) -> bool:
    """Whether a file system is shared between machines, or has no sockets.

    Args:
        device: its number, `os.stat_result.st_dev`.
        mounts: the lines of ``/proc/self/mountinfo`` (proc(5)).
    """
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    for line in mounts:
        mount, _, source = line.partition(b" - ")
        if mount.split(b" ")[2:3] == [wanted]:
            kind = source.split(b" ")[0].decode("ascii", "replace")
            return kind in _UNSUITABLE or kind.startswith("fuse.")
    return False


def _is_on_unsuitable(path: Path) -> bool:
    try:
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:  # Not Linux.
        return False
    return is_unsuitable(path.stat().st_dev, mounts)
