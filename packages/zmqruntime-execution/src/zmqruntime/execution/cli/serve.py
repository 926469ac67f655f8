"""Running an application's server class from a command line."""

from __future__ import annotations

import argparse
import gc
import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Import the server class that ``module:Class`` names.

    Raises:
        TargetError: there is no such module or class, or it is no execution server.
        Exception: whatever the module raises while it is imported.
    """
    found = import_target(target)
    if not (isinstance(found, type) and issubclass(found, ExecutionServer)):
        raise TargetError(f"{target} is no ExecutionServer subclass, but {found!r}")
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
    """Serve until shut down, or until the owner in ``arguments`` is gone.

    Args:
        server_class: what to serve.
        arguments: where, and for whom.
        journal: which journal to keep; None: as the class says.
        own: further keyword arguments of the class's constructor.
        launch_digest: of what a launcher gave.

    Raises:
        TargetError: the class cannot be made as an `ExecutionServer` is.
        Exception: whatever it raises, or ended the server.
    """
    server = _make(server_class, arguments, own or {})
    server.choose_journal(journal)
    server.launch_digest = launch_digest
    gc.freeze()  # What is loaded stays: no collection has to look at it again.
    gc.enable()
    server.serve_forever(owner=arguments.owner)


def _make(
    server_class: type[ExecutionServer], arguments: ServerArguments, own: Mapping[str, Any]
) -> ExecutionServer:
    name = f"{server_class.__qualname__}.__init__"
    try:
        # By name: the first parameter of a constructor may be the application's own.
        server = server_class(port=arguments.port, **arguments.options, **own)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # It comes from inside.
        given = "ExecutionServer takes and its launcher gives" if own else "ExecutionServer takes"
        raise TargetError(
            f"{name} has to take what {given}: {error}{_place_of(server_class)}"
        ) from None
    if "_max_log_bytes" not in vars(server):
        raise TargetError(f"{name} has to call super().__init__(){_place_of(server_class)}")
    if server.endpoint != (meant := arguments.endpoint):
        raise TargetError(
            f"{name} has to pass port, host, transport_mode and config on to super().__init__(): "
            f"the server is to be on {meant}, and would be on {server.endpoint}"
            f"{_place_of(server_class)}"
        )
    return server


def _place_of(server_class: type) -> str:
    """Return where its constructor is written, if it is."""
    constructor = inspect.getattr_static(server_class, "__init__")
    code = getattr(inspect.unwrap(constructor), "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"


def read_journal_options(journal: Path | None, durable: bool, no_journal: bool) -> JournalChoice:
    """Return which journal a command line chooses; None: it leaves that to the class.

    Raises:
        ValueError: its options exclude each other.
    """
    if no_journal:
        if durable or journal is not None:
            raise ValueError("--no-journal and --journal or --durable exclude each other")
        return False
    return journal or (True if durable else None)


def log_to_stderr() -> None:
    """Show a person what the server logs. What ends it is left to whoever catches that."""
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
    parser.add_argument("target", help="the server class, as module:Class")
    parser.add_argument("--journal", type=Path, help="where executions outlive the server")
    parser.add_argument(
        "--durable",
        action="store_true",
        help="keep a journal in the user's data directory; with --journal, there",
    )
    parser.add_argument("--no-journal", action="store_true", help="let executions end with it")
    parser.add_argument("--launched", action="store_true", help=argparse.SUPPRESS)
    ServerArguments.add_options(parser)
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
        # What it imports may be the application's, so that comes first, and with its own errors.
        server_class = load_target(options.target)
        digest, own = read_arguments(sys.stdin.buffer) if options.launched else (None, {})
        serve(server_class, arguments, journal=journal, own=own, launch_digest=digest)
    except ZMQRuntimeError as error:
        # With the traceback of a worker, if it has one: a launcher has nothing else to tell. Its
        # lines are indented, since stderr may lead into the log file.
        print(printable(f"error: {error}", newline="\n    "), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - an application's too; told in one sentence
        from zmqruntime.execution.cli.startup_errors import explain_error

        print(f"error: {explain_error(error)}", file=sys.stderr)
        return 1
    return 0
