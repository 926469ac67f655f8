"""The content of the window, as an immutable value; methods return a changed view."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum, auto

from scan_viewer.scanner import Line, ScanLine, ScanResult, ScanTask
from zmqruntime.messages import Event, ExecutionStatus, ProgressEvent

__all__ = ["Phase", "ScanView"]


class Phase(Enum):
    """The phase of a scan."""

    IDLE = auto()
    CONNECTING = auto()
    WAITING = auto()
    SCANNING = auto()
    STOPPING = auto()
    COMPLETE = auto()
    CANCELLED = auto()
    FAILED = auto()
    SERVER_LOST = auto()

    @property
    def is_busy(self) -> bool:
        return self in {Phase.CONNECTING, Phase.WAITING, Phase.SCANNING, Phase.STOPPING}


@dataclass(frozen=True)
class ScanView:
    """All that a window draws."""

    phase: Phase = Phase.IDLE
    percent: float = 0.0
    lines: tuple[Line | None, ...] = ()
    """The picture; None for lines that have not arrived."""
    notice: str = "Ready to scan."

    @property
    def can_scan(self) -> bool:
        """Whether the button "Scan" is enabled."""
        return not self.phase.is_busy

    @property
    def can_cancel(self) -> bool:
        """Whether the button "Cancel" is enabled."""
        return self.phase.is_busy and self.phase is not Phase.STOPPING

    def begun(self, task: ScanTask) -> ScanView:
        return ScanView(
            Phase.CONNECTING, lines=(None,) * task.lines, notice="Connecting to the scanner ..."
        )

    def after(self, event: Event) -> ScanView:
        """Return the view after an event; the end of a scan has methods of its own."""
        if isinstance(event, ProgressEvent):
            return self._advanced(event)
        if event.status is ExecutionStatus.QUEUED:
            return self._unless_stopping(Phase.WAITING, "Waiting for the scanner ...")
        if event.status is ExecutionStatus.RUNNING:
            return self._unless_stopping(Phase.SCANNING, "Scanning ...")
        return self

    def stopping(self) -> ScanView:
        return dataclasses.replace(self, phase=Phase.STOPPING, notice="Stopping ...")

    def completed(self, result: ScanResult) -> ScanView:
        return ScanView(Phase.COMPLETE, 100.0, result.lines, f"{len(result.lines)} lines scanned.")

    def cancelled(self) -> ScanView:
        return self._ended(Phase.CANCELLED, "Cancelled.")

    def failed(self, reason: str) -> ScanView:
        return self._ended(Phase.FAILED, f"The scan failed: {reason}")

    def server_lost(self, reason: str) -> ScanView:
        """Return the view after the loss of the server: the state of the scan is unknown."""
        return self._ended(
            Phase.SERVER_LOST,
            f"The scanner's server is not there: {reason}. The scan may not have ended; "
            "press Scan to start again.",
        )

    def _advanced(self, event: ProgressEvent) -> ScanView:
        lines = self.lines
        if event.data is not None:
            scanned = ScanLine.model_validate(event.data)
            lines = (*lines[: scanned.number], scanned.pixels, *lines[scanned.number + 1 :])
        view = self._unless_stopping(Phase.SCANNING, "Scanning ...")
        return dataclasses.replace(view, percent=event.percent or 0.0, lines=lines)

    def _unless_stopping(self, phase: Phase, notice: str) -> ScanView:
        if self.phase is Phase.STOPPING:
            return self
        return dataclasses.replace(self, phase=phase, notice=notice)

    def _ended(self, phase: Phase, notice: str) -> ScanView:
        return dataclasses.replace(self, phase=phase, notice=notice)
