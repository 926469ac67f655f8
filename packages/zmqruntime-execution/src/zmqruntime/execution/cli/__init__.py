"""The ``zmqruntime`` command, whose own parts are loaded only when it runs.

A worker process imports the script that its server was started by, and has no use for them.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_PARTS = frozenset({"typer", "rich"})


def main() -> int:
    """Run the ``zmqruntime`` command; return its exit code."""
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
