"""Runs an application's server class, for both commands; ``main`` is the one without typer."""

from __future__ import annotations

import argparse
import gc
import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zmqruntime.execution.cli.options import SERVE_OPTIONS
from zmqruntime.execution.journal.location import JournalChoice
from zmqruntime.execution.launch_arguments import read_arguments
from zmqruntime.execution.server.server import ExecutionServer
from zmqruntime.execution.target import TargetError, import_target
from zmqruntime.messages import ZMQRuntimeError, printable
from zmqruntime.transport import RecordFormatter, ServerArguments

__all__ = [
    "load_target",
    "log_to_stderr",
    "main",
    "read_journal_options",
    "serve",
]


def load_target(target: str) -> type[ExecutionServer]:
    """Import the server class ``module:Class``.

    Raises:
        TargetError: the module or class does not exist, or is not an execution server.
        Exception: an exception of the module.
    """
    found = import_target(target)
    if not (isinstance(found, type) and issubclass(found, ExecutionServer)):
        raise TargetError(f"{target} is not an ExecutionServer subclass, but {found!r}")
    if inspect.isabstract(found):
        raise TargetError(f"{target} is abstract: name a subclass that defines execute_task")
    return found


def serve(
    server_class: type[ExecutionServer],
    arguments: ServerArguments,
    *,
    journal: JournalChoice = None,
    own: Mapping[str, Any] | None = None,
    launch_digest: str | None = None,
) -> None:
    """Serve until a shutdown, or until the owner in ``arguments`` exits.

    Args:
        server_class: the server's class.
        arguments: endpoint, settings and owner.
        journal: the journal; None: the default of the class.
        own: further keyword arguments of the class's constructor.
        launch_digest: digest of a launcher's arguments.

    Raises:
        TargetError: the constructor does not take the arguments of `ExecutionServer`.
        Exception: an exception of the constructor or of the server.
    """
    server = _make(server_class, arguments, own or {})
    server.choose_journal(journal)
    server.launch_digest = launch_digest
    gc.freeze()  # Loaded modules stay: exempt them from garbage collection.
    gc.enable()
    server.serve_forever(owner=arguments.owner)


def _make(
    server_class: type[ExecutionServer], arguments: ServerArguments, own: Mapping[str, Any]
) -> ExecutionServer:
    name = f"{server_class.__qualname__}.__init__"
    try:
        # As keywords: the first parameter of the constructor may be the application's own.
        server = server_class(port=arguments.port, **arguments.options, **own)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # Raised within the constructor.
        given = "ExecutionServer takes and its launcher gives" if own else "ExecutionServer takes"
        raise TargetError(
            f"{name} has to take what {given}: {error}{_locate(server_class)}"
        ) from None
    if "_max_log_bytes" not in vars(server):
        raise TargetError(f"{name} has to call super().__init__(){_locate(server_class)}")
    if server.endpoint != (expected := arguments.endpoint):
        raise TargetError(
            f"{name} has to pass port, host, transport_mode and config on to super().__init__(): "
            f"the server should be on {expected}, and is on {server.endpoint}"
            f"{_locate(server_class)}"
        )
    return server


def _locate(server_class: type) -> str:
    """Return file and line of a class's constructor, if they are known."""
    constructor = inspect.getattr_static(server_class, "__init__")
    code = getattr(inspect.unwrap(constructor), "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"


def read_journal_options(journal: Path | None, durable: bool, no_journal: bool) -> JournalChoice:
    """Return the journal that a command line chooses; None: the default of the class.

    Raises:
        ValueError: the options exclude each other.
    """
    if no_journal:
        if durable or journal is not None:
            raise ValueError("--no-journal and --journal or --durable exclude each other")
        return False
    return journal or (True if durable else None)


def log_to_stderr() -> None:
    """Log to stderr, except the fatal error of the server, which the command prints itself."""
    handler = logging.StreamHandler()
    handler.setFormatter(RecordFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno < logging.CRITICAL)
    logger = logging.getLogger("zmqruntime")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m zmqruntime.execution``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqruntime.execution", description="Run an execution server."
    )
    parser.add_argument("target", metavar="MODULE:CLASS", help="The server's class.")
    parser.add_argument("--launched", action="store_true", help=argparse.SUPPRESS)
    for option in SERVE_OPTIONS:
        option.add_to(parser)
    options = parser.parse_args(argv)
    try:
        journal = read_journal_options(options.journal, options.durable, options.no_journal)
    except ValueError as error:
        parser.error(str(error))
    logging.getLogger("zmqruntime").setLevel(logging.INFO)
    if options.log_file is None:
        log_to_stderr()
    try:
        arguments = ServerArguments.from_namespace(options)
        # Before the arguments, which may be of the application's types.
        server_class = load_target(options.target)
        digest, own = read_arguments(sys.stdin.buffer) if options.launched else (None, {})
        serve(server_class, arguments, journal=journal, own=own, launch_digest=digest)
    except ZMQRuntimeError as error:
        # With the traceback of a worker, for the error of the launcher. Its lines are indented, as
        # stderr may be the log file, where a record could be forged.
        print(printable(f"error: {error}", newline="\n    "), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - also an application's; explained in one line
        from zmqruntime.execution.cli.startup_errors import explain_error

        print(f"error: {explain_error(error)}", file=sys.stderr)
        return 1
    return 0
