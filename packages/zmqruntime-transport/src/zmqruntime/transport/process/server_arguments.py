"""The command line of a launched server: formatted and parsed in one place."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.process.command_options import SERVER_OPTIONS
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
        """The arguments of the server's constructor except for the port."""
        return ServerOptions(
            host=self.host,
            transport_mode=self.transport_mode,
            config=self.config,
            log_file_path=self.log_file_path,
        )

    def to_command_line(self) -> list[str]:
        """Return the options that `from_namespace` parses."""
        values = {
            "port": self.port,
            "transport": self.transport_mode,
            "host": self.host,
            "log_file": self.log_file_path,
            "owner": self.owner,
        }
        for option in SERVER_OPTIONS:
            if option.is_setting:
                values[option.name] = getattr(self.config, option.name)
        # With "=": a value may begin with a dash.
        return [
            f"{option.flag}={value}"
            for option in SERVER_OPTIONS
            if (value := values[option.name]) is not None
        ]

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add the options to a parser."""
        for option in SERVER_OPTIONS:
            option.add_to(parser)

    @classmethod
    def from_namespace(cls, options: argparse.Namespace) -> ServerArguments:
        """Return the arguments from the result of a parser with these options."""
        settings = {
            option.name: getattr(options, option.name)
            for option in SERVER_OPTIONS
            if option.is_setting
        }
        return cls(
            port=options.port,
            host=options.host,
            transport_mode=options.transport,
            config=ZMQConfig(**settings),
            owner=options.owner,
            log_file_path=options.log_file,
        )
