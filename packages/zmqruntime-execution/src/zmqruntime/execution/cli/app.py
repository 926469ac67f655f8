"""The commands: ``serve``, ``ping`` and ``stop``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zmqruntime.execution import serve as serving
from zmqruntime.execution.cli.link import ServerLink
from zmqruntime.execution.cli.wording import explain_error, make_table
from zmqruntime.messages import (
    PingRequest,
    PongReply,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    encode,
)
from zmqruntime.transport import (
    Deadline,
    Endpoint,
    ProcessIdentity,
    RequestTimeout,
    ServerArguments,
    TransportMode,
    ZMQClient,
    ZMQConfig,
)

__all__ = ["app", "run"]

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
        print(f"error: {explain_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _read_owner(text: str) -> ProcessIdentity:
    pid, _, create_time = text.partition(":")
    return ProcessIdentity(int(pid), float(create_time))


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
    max_message_bytes: Annotated[
        int, typer.Option(min=2**17, help="The longest message that is taken.")
    ] = _DEFAULT.max_message_bytes,
    # What only a launcher gives: see transport's ServerArguments.
    registration_timeout: Annotated[
        float, typer.Option(hidden=True)
    ] = _DEFAULT.registration_timeout,
    data_high_water_mark: Annotated[int, typer.Option(hidden=True)] = _DEFAULT.data_high_water_mark,
    owner: Annotated[ProcessIdentity | None, typer.Option(hidden=True, parser=_read_owner)] = None,
) -> None:
    """Serve until Ctrl-C, SIGTERM or 'zmqruntime stop'; the second Ctrl-C ends it at once."""
    _log_to_stderr()
    sys.path.insert(0, str(Path.cwd()))  # As `python -m` would.
    config = ZMQConfig(
        control_port_offset=control_port_offset,
        app_name=app_name,
        runtime_dir=runtime_dir,
        max_message_bytes=max_message_bytes,
        registration_timeout=registration_timeout,
        data_high_water_mark=data_high_water_mark,
    )
    serving.serve(
        serving.load_target(target),
        ServerArguments(port, host, transport, config, owner=owner, log_file_path=log_file),
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
    endpoint = _find(port, transport, host, runtime_dir, app_name, control_port_offset)
    with ServerLink(endpoint) as link:
        pong = link.ask(PingRequest(limit=10), PongReply, timeout)
    if json:
        typer.echo(encode(pong))
    else:
        Console().print(make_table(pong, str(endpoint)))


@app.command()
def stop(
    port: _Port = _DEFAULT.default_port,
    transport: _Transport = None,
    host: _Host = None,
    runtime_dir: _RuntimeDir = None,
    app_name: _AppName = _DEFAULT.app_name,
    control_port_offset: _ControlPortOffset = _DEFAULT.control_port_offset,
    now: Annotated[
        bool, typer.Option("--now", help="Interrupt what runs and drop what is queued.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="How many seconds to wait for its end; no limit.")
    ] = None,
) -> None:
    """End a server after the work that it has accepted, and wait for its end."""
    deadline = Deadline.after(timeout)
    endpoint = _find(port, transport, host, runtime_dir, app_name, control_port_offset)
    mode = ShutdownMode.NOW if now else ShutdownMode.DRAIN
    with ServerLink(endpoint) as link:
        pong = link.ask(PingRequest(limit=0), PongReply, _DEFAULT.request_timeout)
        link.ask(ShutdownRequest(mode=mode), ShutdownAckReply, _DEFAULT.request_timeout)
        name = f"{pong.server} (process {pong.process.pid})"
        left = pong.running_count + pong.queued_count
        if left and not now:
            typer.echo(f"{name} still has {left} to do; Ctrl-C ends this wait, not the server")
        if not link.wait_for_end(pong.process, deadline):
            hint = "" if now else "; 'zmqruntime stop --now' interrupts what runs"
            raise RequestTimeout(f"{name} has not ended after {timeout:g} s{hint}")
    typer.echo(f"{name} has ended")


def _find(
    port: int,
    transport: TransportMode | None,
    host: str | None,
    runtime_dir: Path | None,
    app_name: str,
    control_port_offset: int,
) -> Endpoint:
    config = ZMQConfig(
        app_name=app_name, runtime_dir=runtime_dir, control_port_offset=control_port_offset
    )
    return ZMQClient(port, host=host, transport_mode=transport, config=config).endpoint


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # What ended the server is told once, by `run`.
    handler.addFilter(lambda record: record.levelno < logging.CRITICAL)
    logger = logging.getLogger("zmqruntime")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
