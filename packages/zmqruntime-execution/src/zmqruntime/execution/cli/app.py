"""The commands: ``serve``, ``ping`` and ``stop``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from zmqruntime.execution._version import __version__
from zmqruntime.execution.cli import serve as serving
from zmqruntime.execution.cli.render import make_json, make_table
from zmqruntime.execution.journal.location import default_journal_path
from zmqruntime.messages import ShutdownMode, printable
from zmqruntime.transport import (
    ProcessIdentity,
    RequestTimeout,
    ServerArguments,
    TransportMode,
    ZMQClient,
    ZMQConfig,
)
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["app", "run"]

_log = logging.getLogger("zmqruntime.server")

_DEFAULT = ZMQConfig()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run execution servers, look at them, and end them.",
)


def run() -> int:
    """Run the command that ``sys.argv`` names; return its exit code."""
    try:
        app(prog_name="zmqruntime")
    except Exception as error:  # noqa: BLE001 - an application's too; told in one sentence
        from zmqruntime.execution.cli.startup_errors import explain_error

        print(f"error: {explain_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zmqruntime-execution {__version__}")
        raise typer.Exit


@app.callback()
def take_options(
    version: Annotated[  # Shown by its callback, whatever else is on the command line.
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version of zmqruntime-execution.",
        ),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


# What names a server is the same for every command.
_Port = Annotated[int, typer.Option(help="The data port.")]
_Transport = Annotated[
    TransportMode | None, typer.Option(help="ipc where the system has it, unless told otherwise.")
]
_Host = Annotated[str | None, typer.Option(help="A TCP address; loopback unless given.")]
_RuntimeDir = Annotated[Path | None, typer.Option(help="The directory of the socket files.")]
_AppName = Annotated[str, typer.Option(help="The first part of the socket files' names.")]
_ControlPortOffset = Annotated[int, typer.Option(help="The control port, less the data port.")]


@app.command()
def serve(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The server's class, to be imported.")
    ],
    port: _Port = _DEFAULT.default_port,
    transport: _Transport = None,
    host: _Host = None,
    runtime_dir: _RuntimeDir = None,
    app_name: _AppName = _DEFAULT.app_name,
    control_port_offset: _ControlPortOffset = _DEFAULT.control_port_offset,
    log_file: Annotated[
        Path | None, typer.Option(help="Where log records go as well, appended.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Where executions outlive the server; else as the class says."),
    ] = None,
    durable: Annotated[
        bool, typer.Option("--durable", help="Keep a journal in the user's data directory.")
    ] = False,
    no_journal: Annotated[
        bool, typer.Option("--no-journal", help="Let executions live as long as the server.")
    ] = False,
    log_dir: Annotated[
        Path | None, typer.Option(help="Where what tasks write is kept; the platform's.")
    ] = None,
    max_message_bytes: Annotated[
        int, typer.Option(help="The longest message that is taken; at least 131072.")
    ] = _DEFAULT.max_message_bytes,
    # What only a launcher gives: see transport's ServerArguments.
    registration_timeout: Annotated[
        float, typer.Option(hidden=True)
    ] = _DEFAULT.registration_timeout,
    data_high_water_mark: Annotated[int, typer.Option(hidden=True)] = _DEFAULT.data_high_water_mark,
    max_unread_bytes: Annotated[int, typer.Option(hidden=True)] = _DEFAULT.max_unread_bytes,
    owner: Annotated[
        ProcessIdentity | None,
        typer.Option(hidden=True, parser=ProcessIdentity.parse, metavar="PID:CREATE_TIME"),
    ] = None,
) -> None:
    """Serve until Ctrl-C, SIGTERM or 'zmqruntime stop'; the second Ctrl-C ends it at once."""
    try:
        choice = serving.read_journal_options(journal, durable, no_journal)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    serving.log_to_stderr()
    sys.path.insert(0, str(Path.cwd()))  # As `python -m` would.
    config = _configure(
        control_port_offset=control_port_offset,
        app_name=app_name,
        runtime_dir=runtime_dir,
        log_dir=log_dir,
        max_message_bytes=max_message_bytes,
        registration_timeout=registration_timeout,
        data_high_water_mark=data_high_water_mark,
        max_unread_bytes=max_unread_bytes,
    )
    server_class = serving.load_target(target)
    if choice is None:
        _warn_of_unused_journal(target, app_name, port)
    serving.serve(
        server_class,
        ServerArguments(port, host, transport, config, owner=owner, log_file_path=log_file),
        journal=choice,
    )


def _warn_of_unused_journal(target: str, app_name: str, port: int) -> None:
    """Warn of work that a server with --durable has left, where this one may not go on with it."""
    path = default_journal_path(app_name, target, port)
    if path.exists():
        _log.warning(
            "the journal %s is there from before: it is used with --durable, or when the class "
            "names it, and else stays as it is",
            path,
        )


@app.command()
def ping(
    port: _Port = _DEFAULT.default_port,
    transport: _Transport = None,
    host: _Host = None,
    runtime_dir: _RuntimeDir = None,
    app_name: _AppName = _DEFAULT.app_name,
    control_port_offset: _ControlPortOffset = _DEFAULT.control_port_offset,
    json: Annotated[bool, typer.Option("--json", help="Print the pong as it came.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="How many seconds to wait for an answer.")
    ] = _DEFAULT.request_timeout,
) -> None:
    """Show how a server is, ready or not."""
    client = _make_client(port, transport, host, runtime_dir, app_name, control_port_offset)
    client.connect(timeout, wait_ready=False)
    with client:
        pong = client.ping(timeout, limit=10)
    if json:
        typer.echo(make_json(pong))
    else:
        Console().print(make_table(pong, str(client.endpoint)))


@app.command()
def stop(
    port: _Port = _DEFAULT.default_port,
    transport: _Transport = None,
    host: _Host = None,
    runtime_dir: _RuntimeDir = None,
    app_name: _AppName = _DEFAULT.app_name,
    control_port_offset: _ControlPortOffset = _DEFAULT.control_port_offset,
    now: Annotated[bool, typer.Option("--now", help="Interrupt what runs, too.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="How many seconds to wait for its end; no limit.")
    ] = None,
) -> None:
    """End a server when what runs has ended, and wait for its end.

    What is queued stays in its journal, for the next server. Without a journal it is finished
    first, and with --now dropped.
    """
    deadline = Deadline.after(timeout)
    client = _make_client(port, transport, host, runtime_dir, app_name, control_port_offset)
    client.connect(_DEFAULT.request_timeout, wait_ready=False)
    with client:
        pong = client.ping(limit=0)
        client.shutdown_server(ShutdownMode.NOW if now else ShutdownMode.DRAIN)
        name = printable(f"{pong.server} (process {pong.process.pid})")
        left = pong.running_count + (0 if pong.durable else pong.queued_count)
        if left and not now:
            typer.echo(f"{name} still has {left} to finish; Ctrl-C ends this wait, not the server")
        if not client.wait_for_server_end(None if timeout is None else deadline.remaining):
            hint = "" if now else "; 'zmqruntime stop --now' interrupts what runs"
            raise RequestTimeout(f"{name} has not ended after {timeout:g} s{hint}")
    typer.echo(f"{name} has ended")


def _configure(**settings: Any) -> ZMQConfig:
    try:
        return ZMQConfig(**settings)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _make_client(
    port: int,
    transport: TransportMode | None,
    host: str | None,
    runtime_dir: Path | None,
    app_name: str,
    control_port_offset: int,
) -> ZMQClient:
    config = _configure(
        app_name=app_name, runtime_dir=runtime_dir, control_port_offset=control_port_offset
    )
    return ZMQClient(port, host=host, transport_mode=transport, config=config)
