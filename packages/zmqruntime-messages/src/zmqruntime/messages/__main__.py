"""``python -m zmqruntime.messages export DIR``: write the contract files."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from zmqruntime.messages.escaping import printable

__all__ = ["export", "main"]


def export(directory: Path) -> int:
    """Copy the contract files of this version into ``directory``; existing files are replaced.

    Returns:
        The number of files written.

    Raises:
        OSError: the directory or a file in it cannot be written.
    """
    return _copy(files("zmqruntime.messages") / "contract", directory)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqruntime.messages",
        description="The message contract of zmqruntime, for peers in any language.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "export",
        help="write JSON Schema, AsyncAPI and golden vectors into a directory",
        description="Write the contract into DIR: JSON Schema (2020-12) of every message, an "
        "AsyncAPI 3 document, golden vectors. Files of the same names are replaced.",
    )
    command.add_argument("directory", type=Path, metavar="DIR", help="created if missing")
    directory: Path = parser.parse_args(arguments).directory
    try:
        count = export(directory)
    except OSError as error:
        where = error.filename or directory
        print(
            printable(
                f"cannot write the contract: {where}: {error.strerror}; use a writable directory"
            ),
            file=sys.stderr,
        )
        return 1
    print(printable(f"wrote {count} files to {directory}"))
    return 0


def _copy(source: Traversable, target: Path) -> int:
    if source.is_file():
        target.write_bytes(source.read_bytes())
        return 1
    target.mkdir(parents=True, exist_ok=True)
    return sum(_copy(entry, target / entry.name) for entry in source.iterdir())


if __name__ == "__main__":
    sys.exit(main())
