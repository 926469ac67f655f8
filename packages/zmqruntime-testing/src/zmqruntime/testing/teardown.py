"""`Teardown`: ending all that a test has started within a bound, whatever state it is in."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

from zmqruntime.testing.errors import LeftRunning
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["Ending", "Teardown", "where_is"]

# Below the two seconds that are promised, by what it takes to say what did not end.
_SECONDS = 1.8
# However late it is: what ends as it should is not to be told for what does not.
_LEAST_SECONDS = 0.1


class Ending:
    """An action under way, in a thread of its own."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="zmqruntime-ending", daemon=True)
        self._thread.start()

    def is_over(self, seconds: float) -> bool:
        """Wait for so long, and return whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise what it has raised."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error


class Teardown:
    """The end of a test: one clock for all that ends with it, begun by whatever ends first.

    What ends has until some part of the time is over. What has not come to its end by then may go
    on with it while others end, and is told by `close`.

    Args:
        seconds: for all together.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, seconds: float = _SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begun: Deadline | None = None
        self._late: list[tuple[Ending, str]] = []

    def left(self, part: float) -> float:
        """Return the seconds until this part of the time, 0 to 1, is over."""
        if self._begun is None:
            self._begun = Deadline.after(0.0, self._clock)
        until = Deadline(self._begun.at + part * self._seconds, self._clock)
        return max(_LEAST_SECONDS, until.remaining)

    def finish(self, part: float, *actions: Callable[[], object]) -> list[bool]:
        """Run each action in a thread of its own; return which have ended before ``part`` is over.

        Raises what one of them raised.
        """
        return self.await_all(part, [Ending(action) for action in actions])

    def await_all(self, part: float, endings: list[Ending]) -> list[bool]:
        """Return which of these have ended before this part of the time is over.

        Raises what one of them raised.
        """
        deadline = Deadline.after(self.left(part), self._clock)
        ended = [ending.is_over(deadline.remaining) for ending in endings]
        for ending in endings:
            ending.check()
        return ended

    def expect(self, ending: Ending, complaint: str) -> None:
        """Let something go on with its end, and be told if it has not come to it at `close`."""
        self._late.append((ending, complaint))

    def close(self) -> None:
        """Wait for what was late, as long as there is time.

        Raises:
            LeftRunning: something has not ended.
        """
        late, self._late = self._late, []
        ended = self.await_all(1.0, [ending for ending, _ in late])
        left = [what for (_, what), has_ended in zip(late, ended, strict=True) if not has_ended]
        if left:
            raise LeftRunning("the test left something running: " + "\n".join(left))


def where_is(thread_name: str) -> str:
    """Say what a thread is doing: its innermost calls, for the person who has to find out why."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == thread_name and thread.ident in frames:
            calls = traceback.format_stack(frames[thread.ident])[-3:]
            return f"its thread {thread_name} is at\n{''.join(calls)}"
    return f"its thread {thread_name} has ended"
