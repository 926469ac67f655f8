"""The steps of the demo, and its output."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bars import Bars
from digest_app import Digest, DigestServer, DigestTask, digest_files, find_files
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text
from signals import INTERRUPTED, ignore_signals, interrupt_on_signal

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import ExecutionStatus, ProgressEvent, ZMQRuntimeError, printable
from zmqruntime.transport import ProcessIdentity, ZMQConfig


class UnexpectedOutcome(Exception):
    """A step of the demo had an unexpected outcome."""


class Demo:
    """One run of the demo, with its output on a console."""

    def __init__(self, console: Console, directory: Path, seconds: float) -> None:
        self._console = console
        self._directory = directory
        self._seconds = seconds
        self._tick = "✓" if console.encoding.startswith("utf") else "ok:"

    def run(self) -> None:
        with launched_client() as client:
            pong = client.ping()
            self._title("Launch a server")
            self._print_check(f"{pong.server} is ready: process {pong.process.pid}")
            seconds = self._digest_once(client)
            self._cancel_half_way(client, repeat=max(2, round(self._seconds / seconds)))
        self._title("Leave")
        if ProcessIdentity(pong.process.pid, pong.process.create_time).is_running():
            raise UnexpectedOutcome(f"process {pong.process.pid} still runs")
        self._print_check("the server ended with its client")

    def _digest_once(self, client: ExecutionClient) -> float:
        """Digest the directory and check the result; return the duration of the task in seconds."""
        self._title("Submit, watch, get the result")
        self._print(f"  {self._directory}")
        handle = client.submit_execution(DigestTask(directory=str(self._directory)))
        with Bars(self._console) as bars:
            bar = bars.add("digest")
            for event in handle.progress():
                bars.show(bar, event)
        digest = Digest.model_validate(handle.result())
        record = handle.status()
        assert record.started_at is not None
        assert record.finished_at is not None
        seconds = record.finished_at - record.started_at
        if not digest.files:
            raise UnexpectedOutcome(f"there are no files below {self._directory}")
        self._print(f"  {digest.files:,} files, {decimal(digest.bytes)}, in {seconds:.2f} s")
        if digest.unreadable:
            self._print(f"  {digest.unreadable:,} of them could not be read")
        self._print(f"  SHA-256 {digest.sha256}")
        self._check(digest)
        self._print_check("this process reads the files itself and gets the same digest")
        return max(seconds, 0.001)

    def _cancel_half_way(self, client: ExecutionClient, repeat: int) -> None:
        self._title("Cancel a long run half-way; the one behind it completes")
        long = client.submit_execution(DigestTask(directory=str(self._directory), repeat=repeat))
        behind = client.submit_execution(DigestTask(directory=str(self._directory)))
        cancelled_at = None
        with Bars(self._console) as bars:
            long_bar, behind_bar = bars.add(f"{repeat} times"), bars.add("once")
            for event in long.progress():
                bars.show(long_bar, event)
                is_half = isinstance(event, ProgressEvent) and (event.percent or 0) >= 50
                if is_half and cancelled_at is None:
                    cancelled_at = time.time()
                    long.cancel()
            for event in behind.progress():
                bars.show(behind_bar, event)
        stopped = long.status()
        if stopped.status is not ExecutionStatus.CANCELLED:
            raise UnexpectedOutcome(f"the long run was cancelled and is {stopped.status}")
        assert cancelled_at is not None
        assert stopped.progress is not None
        assert stopped.finished_at is not None
        self._print_check(
            f"the long run is {stopped.status}: it stopped at "
            f"{stopped.progress.percent or 0:.1f} %, "
            f"{1000 * (stopped.finished_at - cancelled_at):.0f} ms after the cancel"
        )
        self._check(Digest.model_validate(behind.result()))
        self._print_check("the run behind it is complete, and its digest is the same")

    def _check(self, digest: Digest) -> None:
        own = digest_files(self._directory, find_files(self._directory))
        if digest != own:
            raise UnexpectedOutcome(f"the server returned {digest}, this process computed {own}")

    def _title(self, text: str) -> None:
        self._console.print(f"\n{text}", style="bold", markup=False)

    def _print_check(self, text: str) -> None:
        self._console.print(f"  [green]{self._tick}[/green]", end=" ")
        self._print(text)

    def _print(self, text: str) -> None:
        # Texts of the server and file names: no markup and no control characters.
        self._console.print(Text(printable(text)), soft_wrap=True)


@contextlib.contextmanager
def launched_client() -> Iterator[ExecutionClient]:
    """Return a client with a server of its own, in a temporary directory."""
    here = str(Path(__file__).parent)
    paths = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    launcher = ExecutionServerLauncher(DigestServer, environment={"PYTHONPATH": paths})
    with tempfile.TemporaryDirectory(prefix="digest-") as directory:
        config = ZMQConfig(runtime_dir=Path(directory), log_dir=Path(directory))
        client = ExecutionClient(
            find_free_port(config), config=config, launcher=launcher, persistent=False
        )
        with client:
            try:
                yield client
            finally:
                ignore_signals()  # Only the clean-up follows.


def find_free_port(config: ZMQConfig) -> int:
    """Return a free port; without socket files, as on Windows, the port is used."""
    while True:
        port = random.randrange(20_000, 60_000)
        try:
            for number in (port, port + config.control_port_offset):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port


def directory(text: str) -> Path:
    """Parse an argument."""
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is not a directory")
    return path


def main() -> int:
    """Run the demo; return an exit code."""
    parser = argparse.ArgumentParser(prog="demo.py", description="See zmqruntime at work.")
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    parser.add_argument("directory", nargs="?", type=directory, default=stdlib)
    parser.add_argument(
        "--seconds",
        type=float,
        default=6.0,
        help="duration of the cancelled execution without the cancel",
    )
    options = parser.parse_args()
    console = Console(highlight=False)
    try:
        interrupt_on_signal()
        Demo(console, options.directory, options.seconds).run()
    except KeyboardInterrupt:
        console.print("\nInterrupted. The server has ended too.")
        return INTERRUPTED
    except (UnexpectedOutcome, ZMQRuntimeError) as error:
        text = printable(f"\nThe demo failed: {error}", newline="\n")
        console.print(Text(text, style="bold red"))
        return 1
    return 0
