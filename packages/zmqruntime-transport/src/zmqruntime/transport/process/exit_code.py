"""Exit codes of processes, as text."""

from __future__ import annotations

import signal

__all__ = ["describe_exit"]


def describe_exit(exit_code: int) -> str:
    """Return the name of the signal, or the exit code, from a return code of `subprocess`."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"
