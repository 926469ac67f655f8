"""Launching an application's own server class in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from zmqruntime.transport import SubprocessLauncher, check_kind

__all__ = ["ExecutionServerLauncher"]


class ExecutionServerLauncher(SubprocessLauncher):
    """Starts ``python -m zmqruntime.execution module:Class`` with this interpreter.

    Args:
        target: an `ExecutionServer` subclass, as ``"module:Class"`` or as the class itself.
        environment: variables to set beside the inherited ones.
        log_file_path: where its output goes, appended; None: the platform's log directory.
        journal: the file in which executions outlive the server; None: as the class says.

    Raises:
        TypeError: an argument is of the wrong kind; the error names it.
        ValueError: the target names no class, or one that no other process can import: it is
            in ``__main__``, or inside a function.
    """

    def __init__(
        self,
        target: str | type,
        *,
        environment: Mapping[str, str] | None = None,
        log_file_path: Path | str | None = None,
        journal: Path | str | None = None,
    ) -> None:
        check_kind("target", target, str, type)
        check_kind("log_file_path", log_file_path, Path, str, optional=True)
        check_kind("journal", journal, Path, str, optional=True)
        if isinstance(target, type):
            if target.__module__ == "__main__":
                raise ValueError(
                    f"{target.__qualname__} is defined in the script that runs: move it to a "
                    "module of its own, so that the server's process can import it"
                )
            if "<locals>" in target.__qualname__:
                raise ValueError(
                    f"{target.__qualname__} is defined inside a function: move it to the top of "
                    "its module, so that the server's process can import it"
                )
            target = f"{target.__module__}:{target.__qualname__}"
        module_name, _, class_name = target.partition(":")
        if not module_name or not class_name:
            raise ValueError(f"target is {target!r}: write it as 'module:Class'")
        options = [] if journal is None else ["--journal", str(Path(journal).resolve())]
        super().__init__(
            [sys.executable, "-m", "zmqruntime.execution", target, *options],
            environment=environment,
            log_file_path=None if log_file_path is None else Path(log_file_path),
        )
