"""Resolves arguments and configuration to an endpoint."""

from __future__ import annotations

import socket

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import LOOPBACK, Endpoint, parse_address
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.default_dirs import default_runtime_dir
from zmqruntime.transport.validation import check_number, check_type, parse_choice

__all__ = ["resolve_endpoint"]


def resolve_endpoint(
    port: int | None,
    host: str | None,
    transport_mode: TransportMode | str | None,
    config: ZMQConfig,
) -> Endpoint:
    """Return the endpoint of these arguments, with the defaults of the configuration.

    The transport is IPC if the platform has it and ``host`` is None.

    Raises:
        TypeError: an argument is of another type.
        ValueError: the transport mode is invalid.
        EndpointError: the endpoint is invalid, or not available on this platform.
    """
    import zmq  # Not above: a worker, which gets its endpoint, does not need it.

    check_number("port", port, whole=True, optional=True)
    check_type("config", config, ZMQConfig)
    if host is not None:
        _check_host(host)
    # On Windows libzmq may have ipc, but Python cannot probe a socket file.
    has_ipc = bool(zmq.has("ipc")) and hasattr(socket, "AF_UNIX")
    if transport_mode is None:
        use_ipc = host is None and has_ipc
        transport_mode = TransportMode.IPC if use_ipc else TransportMode.TCP
    else:
        transport_mode = parse_choice("transport_mode", transport_mode, TransportMode)
    if transport_mode is TransportMode.IPC:
        if host is not None:
            raise EndpointError(f"host {host!r} is for TCP: leave it out, or the transport mode")
        if not has_ipc:
            raise EndpointError("this platform has no IPC: use TransportMode.TCP, or leave it out")
    return Endpoint(
        port=config.default_port if port is None else port,
        transport_mode=transport_mode,
        host=LOOPBACK if host is None else host,
        control_port_offset=config.control_port_offset,
        directory=config.runtime_dir or default_runtime_dir(config.app_name),
        app_name=config.app_name,
    )


def _check_host(host: str) -> None:
    check_type("host", host, str)
    is_bare = bool(host) and not set("/[]") & set(host)
    if not is_bare or (":" in host and parse_address(host) is None):
        raise EndpointError(
            f"host {host!r} has to be a name or an address alone, such as '127.0.0.1' or '::1', "
            "with no protocol, brackets or port"
        )
