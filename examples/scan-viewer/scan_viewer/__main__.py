"""A viewer in the terminal, without a window. Ctrl-C cancels the scan."""

from __future__ import annotations

import queue
import sys
from functools import partial

from scan_viewer.scanner import Line, ScanServer, ScanTask
from scan_viewer.view import ScanView
from scan_viewer.view_model import ScanViewModel
from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import printable

SHADES = " .:-=+*#%@"
PATIENCE = 60.0
"""Seconds without an event until the viewer exits."""


def draw(line: Line | None) -> str:
    """Return one line of the picture in characters."""
    return "".join(SHADES[pixel * len(SHADES) // 256] for pixel in line or ())


def main() -> None:
    views: queue.SimpleQueue[ScanView] = queue.SimpleQueue()  # the event loop of this "window"
    launcher = ExecutionServerLauncher(ScanServer)
    model = ScanViewModel(partial(ExecutionClient, launcher=launcher, persistent=False), views.put)
    try:
        model.scan(ScanTask(lines=24, columns=64, seconds_per_line=0.1))
        view = model.view
        while view.phase.is_busy:
            try:
                view = views.get(timeout=PATIENCE)
                print(f"{view.percent:3.0f} %  {printable(view.notice)}", end="\r")
            except KeyboardInterrupt:
                model.cancel()
            except queue.Empty:
                sys.exit(f"No event of the scan for {PATIENCE:g} s.")
        print(printable(view.notice))  # It may contain text of the server.
        print(*map(draw, view.lines), sep="\n")
    finally:
        model.close()


if __name__ == "__main__":
    main()
