"""Progress bars, one line per execution."""

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


class MessageColumn(ProgressColumn):
    """The latest message of an execution, in the rest of the line."""

    def __init__(self) -> None:
        super().__init__(Column(ratio=1, no_wrap=True, overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        return Text(printable(task.fields["message"] or ""), task.fields["style"])


class Bars:
    """Shows executions by their events."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(32, complete_style="cyan", finished_style="green"),
            TaskProgressColumn(),
            MessageColumn(),
            console=console,
            expand=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def add(self, name: str) -> TaskID:
        """Add a line for a submitted execution."""
        return self._progress.add_task(name, total=1, message="queued", style="dim")

    def show(self, bar: TaskID, event: ProgressEvent | StateEvent) -> None:
        """Update a line."""
        if isinstance(event, StateEvent):
            style = STYLES.get(event.status, "dim")
            self._progress.update(bar, message=str(event.status), style=style)
        elif event.total is not None:
            self._progress.update(
                bar,
                completed=event.completed,
                total=event.total,
                message=event.message,
                style="dim",
            )
