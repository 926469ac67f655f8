"""The command line that a launcher gives to a server process, written and read in one place."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.process import ProcessIdentity

__all__ = ["ServerArguments"]


@dataclass(frozen=True, slots=True)
class ServerArguments:
    """What a launched server has to know to be found, and by whom it is owned."""

    port: int
    host: str | None
    transport_mode: TransportMode | None
    config: ZMQConfig
    owner: ProcessIdentity | None = None
    """The process with which the server ends; None: it lives on by itself."""
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
        """Return the arguments of a server that is to listen on ``endpoint``."""
        return cls(
            port=endpoint.port,
            host=endpoint.host if endpoint.transport_mode is TransportMode.TCP else None,
            transport_mode=endpoint.transport_mode,
            config=config,
            owner=owner,
            log_file_path=log_file_path,
        )

    def to_command_line(self) -> list[str]:
        """Return the options that `from_namespace` reads: all that concerns a server."""
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
            "--log-file": self.log_file_path,
            "--owner": self.owner,
        }
        # In one word each: a value may begin with a dash.
        return [f"{option}={value}" for option, value in options.items() if value is not None]

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Declare the options on an application's own parser."""
        default = ZMQConfig()
        add = parser.add_argument
        add("--port", type=int, default=default.default_port, help="data port")
        add("--host", help="TCP address to bind to; loopback unless given")
        add("--transport", type=TransportMode, choices=list(TransportMode))
        add("--control-port-offset", type=int, default=default.control_port_offset)
        add("--app-name", default=default.app_name, help="first part of socket file names")
        add("--runtime-dir", type=Path, help="directory of socket files")
        add("--log-dir", type=Path, help="directory of log files")
        add("--max-message-bytes", type=int, default=default.max_message_bytes)
        add("--registration-timeout", type=float, default=default.registration_timeout)
        add("--data-high-water-mark", type=int, default=default.data_high_water_mark)
        add("--log-file", type=Path, help="where log records go, appended")
        add("--owner", type=ProcessIdentity.parse, help="end with this process; PID:CREATE_TIME")

    @classmethod
    def from_namespace(cls, options: argparse.Namespace) -> ServerArguments:
        """Return what a parser with these options has read."""
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
            ),
            owner=options.owner,
            log_file_path=options.log_file,
        )
