"""An application: one SHA-256 over all files below a directory.

`DigestServer` is the server. `digest_files`, the work itself, is independent of it, so that a
client can check the result.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonValue

# Their content changes between two runs.
SKIPPED = {"__pycache__", "site-packages"}


class DigestTask(BaseModel):
    """The task that a client submits."""

    directory: str
    repeat: PositiveInt = 1
    """How often all files are read."""


class Digest(BaseModel):
    """The result."""

    files: int
    bytes: int
    unreadable: int
    sha256: str


class DigestServer(ExecutionServer):
    """Digests directories."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        task = DigestTask.model_validate(request.task)
        directory = Path(task.directory)
        if not directory.is_dir():
            raise NotADirectoryError(f"{directory} is not a directory")
        context.report_progress(phase="list", message=task.directory)
        files = find_files(directory)
        done = 0

        def report(name: str) -> None:
            nonlocal done
            done += 1
            context.report_progress(done, len(files) * task.repeat, phase="digest", message=name)

        for _ in range(task.repeat):
            digest = digest_files(directory, files, report)
        return digest.model_dump()


def find_files(directory: Path) -> list[Path]:
    """Return the regular files below a directory, in an order that is the same on all systems."""
    found = []
    for parent, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in SKIPPED]
        found += [path for name in names if (path := Path(parent, name)).is_file()]
    return sorted(found, key=lambda path: path.relative_to(directory).as_posix())


def digest_files(
    directory: Path, files: Sequence[Path], on_file: Callable[[str], None] = lambda name: None
) -> Digest:
    """Digest names and contents of files; ``on_file`` is called with each name afterwards."""
    combined = hashlib.sha256()
    size = unreadable = 0
    for path in files:
        name = os.fsencode(path.relative_to(directory).as_posix())
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
                size += file.tell()
        except OSError:
            content = b""
            unreadable += 1
        combined.update(name + b"\0" + content)
        on_file(name.decode(errors="replace"))
    return Digest(files=len(files), bytes=size, unreadable=unreadable, sha256=combined.hexdigest())
