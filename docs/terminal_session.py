"""The session in the picture of the landing page: three orders, the second one cancelled.

Runs beside the page's ``server.py`` and writes the terminal as SVG to its standard output. The same
session always gives the same picture: nothing in it depends on time.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.terminal_theme import MONOKAI
from server import Bakery  # type: ignore[import-not-found]  # from the landing page

from zmqruntime.execution import ExecutionClient, ExecutionHandle, ExecutionServerLauncher

WIDTH = 64
ORDERS = {"rye": 12, "wheat": 50, "rolls": 6}
COLOURS = {"complete": "green", "cancelled": "yellow"}
CANCELLED, AT_LOAF = "wheat", 20

# As in rich, without web fonts, which a browser does not load within an image.
SVG = """<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def follow(handle: ExecutionHandle, name: str, bars: Progress) -> None:
    """Show the events of an execution on a bar, and cancel it if it is the one."""
    bar = bars.add_task(name, total=ORDERS[name], status="queued")
    cancelled = False
    for event in handle.progress():
        if event.type == "state":
            colour = COLOURS.get(event.status, "white")
            bars.update(bar, status=f"[{colour}]{event.status}[/]")
        elif not cancelled:
            bars.update(bar, completed=event.completed)
            if name == CANCELLED and event.completed == AT_LOAF:
                handle.cancel()
                cancelled = True


def draw() -> str:
    """Run the session and return its picture."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print("[bold]$[/] python orders.py")
    bars = Progress(
        TextColumn("{task.description:<6}"),
        BarColumn(32, complete_style="cyan", finished_style="green"),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}"),
        console=console,
    )
    launcher = ExecutionServerLauncher(Bakery)
    with ExecutionClient(launcher=launcher, persistent=False) as client:
        orders = {
            name: client.submit_execution({"loaves": loaves}) for name, loaves in ORDERS.items()
        }
        for name, handle in orders.items():
            follow(handle, name, bars)
        console.print(bars.get_renderable())
        console.print(f"[bold]rolls:[/] {orders['rolls'].result()}")
    return console.export_svg(title="", theme=MONOKAI, code_format=SVG, unique_id="terminal")


if __name__ == "__main__":
    sys.stdout.buffer.write(draw().encode())
