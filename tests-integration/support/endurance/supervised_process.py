"""A process that is restarted after each kill."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["SupervisedProcess"]


class SupervisedProcess:
    """Runs a command, and restarts it after each `kill` until it exits.

    Args:
        name: names the process in error messages.
        command: with its arguments.
        environment: the whole environment.
        log: the file to which its output is appended.
        on_end: called in the watching thread after an exit without a kill.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        on_end: Callable[[SupervisedProcess], None],
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
        self._thread = threading.Thread(
            target=self._supervise, name=f"supervise {name}", daemon=True
        )
        self._thread.start()

    @property
    def pid(self) -> int:
        """The pid of the current process."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the process, and wait until it is restarted."""
        with self._changed:
            killed = self._killed = self._process
            killed.kill()
            self._changed.wait_for(lambda: self._process is not killed or self._is_over, 20.0)

    def suspend_for(self, seconds: float) -> None:
        """Suspend the process for some seconds (SIGSTOP)."""
        process = self._process
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float) -> int | None:
        """Return the exit code after an exit without a kill; None after the timeout."""
        self._thread.join(timeout)
        return self.exit_code

    def end(self) -> None:
        """Kill the process without a restart."""
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

    def _supervise(self) -> None:
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
