"""The commands ``serve``, ``ping`` and ``stop``, for typer; their options come from `options`."""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from zmqruntime.execution._version import __version__
from zmqruntime.execution.cli import serve as serving
from zmqruntime.execution.cli.options import PING_OPTIONS, SERVE_OPTIONS, STOP_OPTIONS
from zmqruntime.execution.cli.render import make_json, make_lines, make_table
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
from zmqruntime.transport.lowlevel import CommandOption, Deadline

__all__ = ["app", "run"]

_log = logging.getLogger("zmqruntime.server")

_F = TypeVar("_F", bound=Callable[..., None])

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, inspect and stop execution servers.",
)


def run() -> int:
    """Run the command in ``sys.argv``; return its exit code."""
    try:
        app(prog_name="zmqruntime")
    except Exception as error:  # noqa: BLE001 - also an application's; explained in one line
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
    version: Annotated[  # Handled by its callback, before any command.
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version of zmqruntime-execution.",
        ),
    ] = False,
) -> None:
    """Accept the options that belong to no command."""


def _with_options(options: Sequence[CommandOption]) -> Callable[[_F], _F]:
    """Give a function with ``**values`` the signature from which typer derives these options."""

    def decorate(function: _F) -> _F:
        *parameters, values = inspect.signature(function, eval_str=True).parameters.values()
        assert values.kind is inspect.Parameter.VAR_KEYWORD
        parameters += map(_make_parameter, options)
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {each.name: each.annotation for each in parameters}
        return function

    return decorate


def _make_parameter(option: CommandOption) -> inspect.Parameter:
    is_process = option.type is ProcessIdentity
    info = typer.Option(
        option.flag,
        help=option.help,
        hidden=option.is_internal,
        min=option.min_value,
        metavar=None if option.type is TransportMode else option.metavar,
        parser=ProcessIdentity.parse if is_process else None,
        show_default=option.default_text or True,
    )
    kind: Any = option.type if option.default is not None else option.type | None
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, info],
    )


@app.command()
@_with_options(SERVE_OPTIONS)
def serve(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The server's class, to be imported.")
    ],
    **values: Any,
) -> None:
    """Serve until Ctrl-C, SIGTERM or 'zmqruntime stop'; a second Ctrl-C kills what still runs."""
    try:
        journal = serving.read_journal_options(
            values["journal"], values["durable"], values["no_journal"]
        )
        serving.log_to_stderr()
        sys.path.insert(0, str(Path.cwd()))  # As `python -m` does.
        arguments = ServerArguments.from_namespace(argparse.Namespace(**values))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    server_class = serving.load_target(target)
    if journal is None:
        _warn_of_unused_journal(target, arguments.config.app_name, arguments.port)
    serving.serve(server_class, arguments, journal=journal)


def _warn_of_unused_journal(target: str, app_name: str, port: int) -> None:
    """Warn of the journal of an earlier server with --durable, which this server may not use."""
    path = default_journal_path(app_name, target, port)
    if path.exists():
        _log.warning(
            "journal %s of an earlier server is not used, unless the class names it: "
            "use --durable to continue it",
            path,
        )


@app.command()
@_with_options(PING_OPTIONS)
def ping(**values: Any) -> None:
    """Show the state of a server, ready or not."""
    timeout: float = values["timeout"]
    client = _make_client(values)
    client.connect(timeout, wait_ready=False)
    with client:
        pong = client.ping(timeout, limit=10)
    if values["json"]:
        typer.echo(make_json(pong))
    elif sys.stdout.isatty():
        Console().print(make_table(pong, str(client.endpoint)))
    else:  # Not wrapped at the width of a terminal.
        typer.echo("\n".join(make_lines(pong, str(client.endpoint))))


@app.command()
@_with_options(STOP_OPTIONS)
def stop(**values: Any) -> None:
    """Stop a server after its running executions, and wait for its exit.

    Queued executions stay in its journal, for the next server. Without a journal they are run
    first, or dropped with --now.
    """
    now: bool = values["now"]
    timeout: float | None = values["timeout"]
    deadline = Deadline.after(timeout)
    client = _make_client(values)
    client.connect(client.config.request_timeout, wait_ready=False)
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


def _make_client(values: dict[str, Any]) -> ZMQClient:
    try:
        config = ZMQConfig(
            **{name: values[name] for name in ("app_name", "runtime_dir", "control_port_offset")}
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return ZMQClient(
        values["port"],
        host=values["host"],
        transport_mode=values["transport"],
        config=config,
    )
