"""Ending things within a bound, whatever state they are in."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

__all__ = ["finish_within", "where_is"]


def finish_within(seconds: float, *actions: Callable[[], object]) -> list[bool]:
    """Run each action in a thread of its own; return which of them have ended in time.

    Raises what one of them raised.
    """
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(action,), name="zmqruntime-ending", daemon=True)
        for action in actions
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    return [not thread.is_alive() for thread in threads]


def where_is(thread_name: str) -> str:
    """Say what a thread is doing: its innermost calls, for the person who has to find out why."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == thread_name and thread.ident in frames:
            calls = traceback.format_stack(frames[thread.ident])[-3:]
            return f"its thread {thread_name} is at\n{''.join(calls)}"
    return f"its thread {thread_name} has ended"
