"""`Teardown`: the time budget in which the resources of a test are released."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

from zmqruntime.testing.errors import LeftRunning
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["Release", "Teardown", "describe_thread"]

# Less than the documented two seconds, to leave time for the failure report.
_SECONDS = 1.8
# The minimum for each step, so that one that hangs does not fail the others.
_MIN_SECONDS = 0.1


class Release:
    """A release action that runs in its own thread."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="zmqruntime-release", daemon=True)
        self._thread.start()

    def has_returned(self, seconds: float) -> bool:
        """Wait up to ``seconds``; return whether the action has returned."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise the exception of the action, if any."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001 - raised by `check`
            self._error = error


class Teardown:
    """The time budget of a test's teardown; its clock starts with the first release.

    Each factory has a deadline, given as a share of the budget. An action that is late may continue
    while others run; `close` reports it if it still has not returned.

    Args:
        seconds: the budget for all actions.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, seconds: float = _SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._started: Deadline | None = None
        self._late: list[tuple[Release, str]] = []

    def left(self, share: float) -> float:
        """Return the seconds until this share (0 to 1) of the budget is used up."""
        if self._started is None:
            self._started = Deadline.after(0.0, self._clock)
        until = Deadline(self._started.at + share * self._seconds, self._clock)
        return max(_MIN_SECONDS, until.remaining)

    def finish(self, share: float, *actions: Callable[[], object]) -> list[bool]:
        """Run actions in parallel; return for each whether it returned within ``share``.

        Raises the exception of an action.
        """
        return self.await_all(share, [Release(action) for action in actions])

    def await_all(self, share: float, releases: list[Release]) -> list[bool]:
        """Return for each action whether it returned within this share of the budget.

        Raises the exception of an action.
        """
        deadline = Deadline.after(self.left(share), self._clock)
        ended = [release.has_returned(deadline.remaining) for release in releases]
        for release in releases:
            release.check()
        return ended

    def expect(self, release: Release, complaint: str) -> None:
        """Let an action continue; `close` reports ``complaint`` if it still has not returned."""
        self._late.append((release, complaint))

    def close(self) -> None:
        """Wait for late actions until the budget is used up.

        Raises:
            LeftRunning: an action has not returned.
        """
        late, self._late = self._late, []
        ended = self.await_all(1.0, [release for release, _ in late])
        left = [
            what for (_, what), has_returned in zip(late, ended, strict=True) if not has_returned
        ]
        if left:
            raise LeftRunning("the test did not clean up: " + "\n".join(left))


def describe_thread(thread_name: str) -> str:
    """Return the innermost stack frames of a thread, for an error message."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == thread_name and thread.ident in frames:
            calls = traceback.format_stack(frames[thread.ident])[-3:]
            return f"its thread {thread_name} is at\n{''.join(calls)}"
    return f"its thread {thread_name} has ended"
