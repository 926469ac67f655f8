"""A screen that records views, instead of a window."""

from __future__ import annotations

import threading
from collections.abc import Callable

from scan_viewer.view import Phase, ScanView
from scan_viewer.view_model import MakeClient, ScanViewModel

__all__ = ["PATIENCE", "MakeModel", "Screen"]

MakeModel = Callable[[MakeClient], ScanViewModel]

PATIENCE = 60.0


class Screen:
    """Records all views."""

    def __init__(self) -> None:
        self.views: list[ScanView] = []
        self._changed = threading.Condition()

    def show(self, view: ScanView) -> None:
        with self._changed:
            self.views.append(view)
            self._changed.notify_all()

    def until(self, phase: Phase) -> ScanView:
        """Wait for a view of this phase, and return it."""
        with self._changed:
            seen = self._changed.wait_for(lambda: self.views[-1].phase is phase, PATIENCE)
            assert seen, f"phase {phase} was not reached: {self.views[-1]}"
            return self.views[-1]

    @property
    def phases(self) -> list[Phase]:
        """The phases of the views, without repetitions."""
        phases = [view.phase for view in self.views]
        return [now for now, before in zip(phases, [None, *phases], strict=False) if now != before]
