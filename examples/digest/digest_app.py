"""An application: one SHA-256 over every file below a directory.

`DigestServer` is the application's side of the server. The work itself, `digest_files`, knows
nothing of servers, so that a client can do it too, and check.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, PositiveInt

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.messages import JsonValue

# What Python writes while it runs, and what was installed later: neither is the same tomorrow.
SKIPPED = {"__pycache__", "site-packages"}


class DigestTask(BaseModel):
    """What a client submits."""

    directory: str
    repeat: PositiveInt = 1
    """How often to read it all."""


class Digest(BaseModel):
    """What it gets back."""

    files: int
    bytes: int
    unreadable: int
    sha256: str


class DigestServer(ExecutionServer):
    """Digests one directory after the other."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        task = DigestTask.model_validate(request.task)
        directory = Path(task.directory)
        if not directory.is_dir():
            raise NotADirectoryError(f"{directory} is no directory")
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
    """Return the regular files below a directory, in the same order on every system."""
    found = []
    for parent, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in SKIPPED]
        found += [path for name in names if (path := Path(parent, name)).is_file()]
    return sorted(found, key=lambda path: path.relative_to(directory).as_posix())


def digest_files(
    directory: Path, files: Sequence[Path], on_file: Callable[[str], None] = lambda name: None
) -> Digest:
    """Digest files, each with its name; ``on_file`` is told each name when it is done."""
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
