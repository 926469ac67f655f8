"""The ``zmqruntime`` command. Its dependencies are imported only when it runs.

A worker process imports the main script of its server, which may be this command.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_PARTS = frozenset({"typer", "rich"})


def main() -> int:
    """Run the command in ``sys.argv``; return its exit code."""
    try:
        from zmqruntime.execution.cli.app import run
    except ModuleNotFoundError as error:
        part = (error.name or "").partition(".")[0]
        if part not in _PARTS:
            raise
        print(
            f"error: the zmqruntime command needs {part}, which is not installed: "
            "run 'pip install \"zmqruntime-execution[cli]\"'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return run()
