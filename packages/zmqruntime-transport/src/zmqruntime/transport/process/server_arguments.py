"""The command line of a launched server: formatted and parsed in one place."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.resolve import resolve_endpoint

__all__ = ["ServerArguments", "ServerOptions"]


class ServerOptions(TypedDict):
    """Keyword arguments of `ZMQServer`."""

    host: str | None
    transport_mode: TransportMode | None
    config: ZMQConfig
    log_file_path: Path | None


@dataclass(frozen=True, slots=True)
class ServerArguments:
    """The endpoint, settings and owner of a launched server."""

    port: int
    host: str | None
    transport_mode: TransportMode | None
    config: ZMQConfig
    owner: ProcessIdentity | None = None
    """The process with which the server stops; None: it is persistent."""
    log_file_path: Path | None = None

    @classmethod
    def for_endpoint(
        cls,
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        owner: ProcessIdentity | None,
        log_file_path: Path | None,
    ) -> ServerArguments:
        """Return the arguments of a server on ``endpoint``."""
        return cls(
            port=endpoint.port,
            host=endpoint.host if endpoint.transport_mode is TransportMode.TCP else None,
            transport_mode=endpoint.transport_mode,
            # The default may differ in the server's environment.
            config=replace(config, runtime_dir=endpoint.directory.absolute()),
            owner=owner,
            log_file_path=log_file_path,
        )

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the server.

        Raises:
            EndpointError: the endpoint is invalid, or not available on this platform.
        """
        return resolve_endpoint(self.port, self.host, self.transport_mode, self.config)

    @property
    def options(self) -> ServerOptions:
        """The arguments of the server's constructor beside the port."""
        return ServerOptions(
            host=self.host,
            transport_mode=self.transport_mode,
            config=self.config,
            log_file_path=self.log_file_path,
        )

    def to_command_line(self) -> list[str]:
        """Return the options that `from_namespace` parses."""
        config = self.config
        options: dict[str, object | None] = {
            "--port": self.port,
            "--transport": self.transport_mode,
            "--host": self.host,
            "--control-port-offset": config.control_port_offset,
            "--app-name": config.app_name,
            "--runtime-dir": config.runtime_dir,
            "--log-dir": config.log_dir,
            "--max-message-bytes": config.max_message_bytes,
            "--registration-timeout": config.registration_timeout,
            "--data-high-water-mark": config.data_high_water_mark,
            "--max-unread-bytes": config.max_unread_bytes,
            "--log-file": self.log_file_path,
            "--owner": self.owner,
        }
        # With "=": a value may begin with a dash.
        return [f"{option}={value}" for option, value in options.items() if value is not None]

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the options to a parser."""
        default = ZMQConfig()
        add = parser.add_argument
        add("--port", type=int, default=default.default_port, help="data port")
        add("--host", help="TCP address to bind to; loopback unless given")
        add("--transport", type=TransportMode, choices=list(TransportMode))
        add_setting = partial(_add_setting, parser, default)
        add_setting("--control-port-offset", int)
        add_setting("--app-name", str, help="first part of socket file names")
        add_setting("--runtime-dir", str, help="directory of socket files")
        add_setting("--log-dir", str, help="directory of log files")
        add_setting("--max-message-bytes", int)
        add_setting("--registration-timeout", float)
        add_setting("--data-high-water-mark", int)
        add_setting("--max-unread-bytes", int)
        add("--log-file", type=_read_file, help="file for log records, appended")
        add("--owner", type=_read_owner, help="stop when this process ends; PID:CREATE_TIME")

    @classmethod
    def from_namespace(cls, options: argparse.Namespace) -> ServerArguments:
        """Return the arguments from the result of a parser with these options."""
        return cls(
            port=options.port,
            host=options.host,
            transport_mode=options.transport,
            config=ZMQConfig(
                control_port_offset=options.control_port_offset,
                app_name=options.app_name,
                runtime_dir=options.runtime_dir,
                log_dir=options.log_dir,
                max_message_bytes=options.max_message_bytes,
                registration_timeout=options.registration_timeout,
                data_high_water_mark=options.data_high_water_mark,
                max_unread_bytes=options.max_unread_bytes,
            ),
            owner=options.owner,
            log_file_path=options.log_file,
        )


def _add_setting(
    parser: argparse.ArgumentParser,
    default: ZMQConfig,
    option: str,
    convert: Callable[[str], object],
    help: str | None = None,
) -> None:
    """Add the option of a setting, validated by `ZMQConfig`."""
    name = option.removeprefix("--").replace("-", "_")

    def read(text: str) -> object:
        value = convert(text)
        try:
            return getattr(ZMQConfig(**{name: value}), name)  # type: ignore[arg-type]
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    read.__name__ = convert.__name__  # For the parser's error message.
    parser.add_argument(option, type=read, default=getattr(default, name), help=help)


def _read_file(text: str) -> Path:
    path = Path(text)
    try:
        is_directory = path.is_dir()
    except OSError as error:  # It may be too long.
        raise argparse.ArgumentTypeError(f"invalid file name {text!r}: {error.strerror}") from None
    if is_directory:
        raise argparse.ArgumentTypeError(f"{text!r} is a directory, not a file")
    return path


def _read_owner(text: str) -> ProcessIdentity:
    try:
        return ProcessIdentity.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
