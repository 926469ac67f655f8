"""Explains an error of a command in one line. Imported only for that."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import zmqruntime
from zmqruntime.messages import ZMQRuntimeError, printable

__all__ = ["explain_error"]

_HERE = Path(__file__).parent
_COMMANDS = (_HERE / "serve.py", _HERE / "cli" / "app.py")
_OURS = tuple(map(Path, zmqruntime.__path__))
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}


def explain_error(error: BaseException) -> str:
    """Return an error as one line, escaped by `printable`; an application's with file and line."""
    return printable(_explain(error))


def _explain(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and Path(error.filename or "").is_absolute():
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__ + _where(error)
    if not isinstance(error, ZMQRuntimeError):
        return f"{type(error).__name__}: {lines[0]}{_where(error)}"
    # The error of a worker ends with a traceback, whose last line is the exception.
    return lines[0] if len(lines) == 1 else f"{lines[0]}: {lines[-1]}"


def _where(error: BaseException) -> str:
    """Return file and line of the application's frame that raised an error or led to it."""
    theirs: list[tuple[Path, int | None]] = []
    in_ours = False
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path in _COMMANDS:
            theirs.clear()  # The frames before are typer's.
            in_ours = False
        elif any(ours in path.parents for ours in _OURS):
            in_ours = True
        elif not (_is_standard_library(path) or (in_ours and _is_installed(path))):
            theirs.append((path, frame.lineno))
    # The application's own frame is preferred to that of a library that it calls.
    own = [place for place in theirs if not _is_installed(place[0])]
    for path, line in (own or theirs)[-1:]:
        return f" ({path}, line {line})"
    return ""


def _is_standard_library(path: Path) -> bool:
    # A frozen module has no absolute path.
    return not path.is_absolute() or (_LIBRARY in path.parents and not _is_installed(path))


def _is_installed(path: Path) -> bool:
    return not _INSTALLED.isdisjoint(path.parts)
