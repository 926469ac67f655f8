"""A process that is started again whenever it was killed."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Kept"]


class Kept:
    """Runs a command, again after each `kill`, until it ends by itself.

    Args:
        name: what it is called when it did what it should not.
        command: with its arguments.
        environment: all of it.
        log: where what it writes is appended.
        on_end: called, in the thread that watches it, when it has ended by itself.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        on_end: Callable[[Kept], None],
    ) -> None:
        self.name = name
        self.log = log
        self.exit_code: int | None = None
        self._command = command
        self._environment = environment
        self._on_end = on_end
        self._changed = threading.Condition()
        self._ends = False
        self._killed: subprocess.Popen[bytes] | None = None
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that there is now."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it, and see it started again."""
        with self._changed:
            killed = self._killed = self._process
            killed.kill()
            self._changed.wait_for(lambda: self._process is not killed or self._is_over, 20.0)

    def stop_for(self, seconds: float) -> None:
        """Let it do nothing for a while."""
        process = self._process
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float) -> int | None:
        """Return its exit code when it has ended by itself, or None if it does not in time."""
        self._thread.join(timeout)
        return self.exit_code

    def end(self) -> None:
        """Kill it for good."""
        with self._changed:
            self._ends = True
            self._process.kill()
        self._thread.join()

    @property
    def _is_over(self) -> bool:
        return self._ends or self.exit_code is not None

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _keep(self) -> None:
        while True:
            code = self._process.wait()
            with self._changed:
                if self._ends:
                    return
                if self._killed is not self._process or code != -signal.SIGKILL:
                    self.exit_code = code
                    self._changed.notify_all()
                    break
                self._process = self._start()
                self._changed.notify_all()
        self._on_end(self)
