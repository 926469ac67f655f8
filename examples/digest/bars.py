"""Progress bars for executions, a line each."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from zmqruntime.messages import ExecutionStatus, ProgressEvent, StateEvent, printable

STYLES = {
    ExecutionStatus.COMPLETE: "green",
    ExecutionStatus.FAILED: "red",
    ExecutionStatus.CANCELLED: "yellow",
}


class Note(ProgressColumn):
    """What an execution says of itself, in what is left of the line."""

    def __init__(self) -> None:
        super().__init__(Column(ratio=1, no_wrap=True, overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        return Text(printable(task.fields["note"] or ""), task.fields["style"])


class Bars:
    """Shows the events of executions as they arrive."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(32, complete_style="cyan", finished_style="green"),
            TaskProgressColumn(),
            Note(),
            console=console,
            expand=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, name: str) -> TaskID:
        """Add a line for an execution that was submitted."""
        return self._progress.add_task(name, total=1, note="queued", style="dim")

    def show(self, bar: TaskID, event: ProgressEvent | StateEvent) -> None:
        """Bring a line up to date."""
        if isinstance(event, StateEvent):
            style = STYLES.get(event.status, "dim")
            self._progress.update(bar, note=str(event.status), style=style)
        elif event.total is not None:
            self._progress.update(
                bar, completed=event.completed, total=event.total, note=event.message, style="dim"
            )
