"""Writes the tables of options in reference/cli.md: `python docs/make_cli_page.py`.

Each table is between `<!-- options: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zmqruntime.execution.cli.options import (
    CONNECTION_OPTIONS,
    PING_OPTIONS,
    SERVE_OPTIONS,
    STOP_OPTIONS,
)
from zmqruntime.transport import TransportMode
from zmqruntime.transport.process.command_options import CommandOption

__all__ = ["PAGE", "make_page"]

PAGE: Final = Path(__file__).parent / "reference" / "cli.md"

_TABLES: Final = {
    "connection": CONNECTION_OPTIONS,
    "serve": [each for each in SERVE_OPTIONS if not each.is_internal],
    "ping": PING_OPTIONS,
    "stop": STOP_OPTIONS,
    "launcher": [each for each in SERVE_OPTIONS if each.is_internal],
}
_MARKED: Final = re.compile(r"(?<=<!-- options: )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def make_page(page: str) -> str:
    """Return the page with its tables replaced."""
    return _MARKED.sub(lambda match: f"{match[1]} -->\n{_make_table(match[1])}", page)


def _make_table(name: str) -> str:
    options: Sequence[CommandOption] = _TABLES[name]
    if name != "connection":
        options = [each for each in options if each not in CONNECTION_OPTIONS]
    rows = [
        f"| `{each.flag}{_show_value(each)}` | {each.shown_default} | {each.help} |\n"
        for each in options
    ]
    return "".join(["\n| option | default | |\n| --- | --- | --- |\n", *rows, "\n"])


def _show_value(option: CommandOption) -> str:
    if option.type is TransportMode:
        return f" {{{','.join(TransportMode)}}}"
    return f" {option.metavar}" if option.metavar else ""


if __name__ == "__main__":
    PAGE.write_text(make_page(PAGE.read_text("utf-8")), "utf-8")
