"""The options of a server's command line as data, for parsers and for the documentation."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.process.identity import ProcessIdentity

__all__ = ["CONNECTION_OPTIONS", "SERVER_OPTIONS", "CommandOption"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOption:
    """One option of a command line."""

    flag: str
    type: type
    """Type of the value; bool: an option without a value."""
    help: str
    default: Any = None
    default_text: str = ""
    """Description of a default that the value does not show."""
    metavar: str | None = None
    min_value: float | None = None
    is_setting: bool = False
    """Whether `ZMQConfig` has a setting of this name, and validates the value."""
    is_internal: bool = False
    """Whether only launchers use it."""
    parse: Callable[[str], object] | None = None
    """Converter for argparse; None: `type`, or `ZMQConfig` for a setting."""

    @property
    def name(self) -> str:
        """The attribute of the parsed value."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def shown_default(self) -> str:
        """The default as text; empty: there is nothing to show."""
        return self.default_text or ("" if self.default in (None, False) else str(self.default))

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add the option to a parser."""
        if self.type is bool:
            parser.add_argument(self.flag, action="store_true", help=self.help)
            return
        default = self.shown_default
        parser.add_argument(
            self.flag,
            type=self.parse or (self._make_setting_parser() if self.is_setting else self.type),
            choices=list(TransportMode) if self.type is TransportMode else None,
            default=self.default,
            metavar=self.metavar,
            help=f"{self.help} (default: {default})" if default else self.help,
        )

    def _make_setting_parser(self) -> Callable[[str], object]:
        convert: Callable[[str], object] = str if self.type is Path else self.type

        def parse(text: str) -> object:
            value: Any = convert(text)
            try:
                return getattr(ZMQConfig(**{self.name: value}), self.name)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        parse.__name__ = convert.__name__  # For the parser's error message.
        return parse


def _parse_process(text: str) -> ProcessIdentity:
    try:
        return ProcessIdentity.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse_file(text: str) -> Path:
    path = Path(text)
    try:
        is_directory = path.is_dir()
    except OSError as error:  # It may be too long.
        raise argparse.ArgumentTypeError(f"invalid file name {text!r}: {error.strerror}") from None
    if is_directory:
        raise argparse.ArgumentTypeError(f"{text!r} is a directory, not a file")
    return path


_DEFAULT: Final = ZMQConfig()

CONNECTION_OPTIONS: Final = (
    CommandOption(
        flag="--port", type=int, metavar="N", default=_DEFAULT.default_port, help="The data port."
    ),
    CommandOption(
        flag="--transport",
        type=TransportMode,
        default_text="ipc where the platform has it",
        help="The transport: Unix sockets or TCP.",
    ),
    CommandOption(
        flag="--host",
        type=str,
        metavar="ADDRESS",
        default_text="127.0.0.1",
        help="The TCP address; implies TCP.",
    ),
    CommandOption(
        flag="--runtime-dir",
        type=Path,
        metavar="DIRECTORY",
        default_text="the platform's",
        is_setting=True,
        help="The directory of the socket files.",
    ),
    CommandOption(
        flag="--app-name",
        type=str,
        metavar="NAME",
        default=_DEFAULT.app_name,
        is_setting=True,
        help="The first part of the names of the socket files.",
    ),
    CommandOption(
        flag="--control-port-offset",
        type=int,
        metavar="N",
        default=_DEFAULT.control_port_offset,
        is_setting=True,
        help="The control port less the data port.",
    ),
)
"""Options that name a server, the same for the server and its clients."""

SERVER_OPTIONS: Final = (
    *CONNECTION_OPTIONS,
    CommandOption(
        flag="--log-dir",
        type=Path,
        metavar="DIRECTORY",
        default_text="the platform's",
        is_setting=True,
        help="The directory of task logs.",
    ),
    CommandOption(
        flag="--log-file",
        type=Path,
        metavar="FILE",
        parse=_parse_file,
        help="A file that log records are appended to.",
    ),
    CommandOption(
        flag="--max-message-bytes",
        type=int,
        metavar="N",
        default=_DEFAULT.max_message_bytes,
        default_text="16 MiB",
        is_setting=True,
        help="The limit of a received message, at least 131072.",
    ),
    CommandOption(
        flag="--registration-timeout",
        type=float,
        metavar="SECONDS",
        default=_DEFAULT.registration_timeout,
        is_setting=True,
        is_internal=True,
        help="How long a registration waits for its subscription.",
    ),
    CommandOption(
        flag="--data-high-water-mark",
        type=int,
        metavar="N",
        default=_DEFAULT.data_high_water_mark,
        is_setting=True,
        is_internal=True,
        help="The limit of unread event messages of a subscriber.",
    ),
    CommandOption(
        flag="--max-unread-bytes",
        type=int,
        metavar="N",
        default=_DEFAULT.max_unread_bytes,
        default_text="256 MiB",
        is_setting=True,
        is_internal=True,
        help="The limit of unread replies of all peers.",
    ),
    CommandOption(
        flag="--owner",
        type=ProcessIdentity,
        metavar="PID:CREATE_TIME",
        parse=_parse_process,
        is_internal=True,
        help="A process; the server stops when it exits.",
    ),
)
"""Options of a server."""
