"""Launching an application's own server class in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from zmqruntime.transport import SubprocessLauncher

__all__ = ["ExecutionServerLauncher"]


class ExecutionServerLauncher(SubprocessLauncher):
    """Starts ``python -m zmqruntime.execution module:Class`` with this interpreter.

    Args:
        target: an `ExecutionServer` subclass, as ``"module:Class"`` or as the class itself.
        environment: variables to set beside the inherited ones.
        log_file_path: where its output goes, appended; None: the platform's log directory.
        journal: the file in which executions outlive the server; None: as the class says.

    Raises:
        ValueError: the class is in ``__main__``, where no other process can import it from.
    """

    def __init__(
        self,
        target: str | type,
        *,
        environment: Mapping[str, str] | None = None,
        log_file_path: Path | None = None,
        journal: Path | None = None,
    ) -> None:
        if isinstance(target, type):
            if target.__module__ == "__main__":
                raise ValueError(
                    f"{target.__qualname__} is defined in the script that runs: move it to a "
                    "module of its own, so that the server's process can import it"
                )
            target = f"{target.__module__}:{target.__qualname__}"
        options = [] if journal is None else ["--journal", str(journal.resolve())]
        super().__init__(
            [sys.executable, "-m", "zmqruntime.execution", target, *options],
            environment=environment,
            log_file_path=log_file_path,
        )
