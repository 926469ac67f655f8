"""Ending things within a bound, whatever state they are in."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable

__all__ = ["finish_within", "where_is"]


def finish_within(seconds: float, action: Callable[[], object]) -> bool:
    """Run ``action`` in a thread; return whether it has ended in time. Raises what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, name="zmqruntime-ending", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return not thread.is_alive()


def where_is(thread_name: str) -> str:
    """Say what a thread is doing: its innermost calls, for the person who has to find out why."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == thread_name and thread.ident in frames:
            calls = traceback.format_stack(frames[thread.ident])[-3:]
            return f"its thread {thread_name} is at\n{''.join(calls)}"
    return f"its thread {thread_name} has ended"
