"""Finds the directory in which the sockets of a server outlive the login of its user.

``XDG_RUNTIME_DIR`` is removed with the last session of its user (XDG Base Directory
Specification), and what is old below ``/tmp`` by programs such as tmpreaper. Nothing removes the
user's state directory.
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
from zmqruntime.transport.process.private_files import check_ancestors

__all__ = ["find_lasting_dir", "is_unfit"]

# Two machines that share a home must not share sockets and locks; the last ones keep no sockets.
_UNFIT: Final = frozenset(
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


def find_lasting_dir(app_name: str) -> Path | None:
    """Return ``run`` in the application's state directory; None where sockets cannot live there.

    That is where the path is too long for a socket, where this user cannot write or others can,
    and on a file system that other machines share. macOS and Windows have no such directory.
    """
    if sys.platform in ("win32", "darwin"):
        return None
    import platformdirs  # Not above: a worker is given its directories.

    try:
        directory = platformdirs.user_state_path(app_name) / "run"
    except (OSError, RuntimeError):  # There is no home directory.
        return None
    longest = directory / f"{app_name}-{MAX_PORT}.sock"
    if not directory.is_absolute() or len(os.fsencode(longest)) > ipc_path_limit():
        return None
    try:
        check_ancestors(directory)
        there = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK) or _is_on_unfit(there):
            return None
    except (OSError, UnsafePath):
        return None
    return directory


def is_unfit(device: int, mounts: Iterable[bytes]) -> bool:
    """Whether a file system is one that machines share, or that keeps no sockets.

    Args:
        device: its number, as in `os.stat_result.st_dev`.
        mounts: the lines of ``/proc/self/mountinfo`` (proc(5)).
    """
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    for line in mounts:
        mount, _, source = line.partition(b" - ")
        if mount.split(b" ")[2:3] == [wanted]:
            kind = source.split(b" ")[0].decode("ascii", "replace")
            return kind in _UNFIT or kind.startswith("fuse.")
    return False


def _is_on_unfit(path: Path) -> bool:
    try:
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:  # No Linux.
        return False
    return is_unfit(path.stat().st_dev, mounts)
