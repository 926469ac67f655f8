"""Terminates processes, and kills those that do not exit in time."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import psutil

from zmqruntime.transport.process.process_tree import kill_all

__all__ = ["terminate_then_kill"]


def terminate_then_kill(
    processes: Collection[psutil.Process], seconds: float
) -> list[psutil.Process]:
    """Terminate processes, and kill those that still run after ``seconds``; return the latter."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    kill_all(alive)
    return alive
