"""From what a caller gave to the endpoint that is meant."""

from __future__ import annotations

import socket

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import LOOPBACK, Endpoint, parse_address
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.runtime_dir import default_runtime_dir
from zmqruntime.transport.validation import check_number, check_type, parse_choice

__all__ = ["resolve_endpoint"]


def resolve_endpoint(
    port: int | None,
    host: str | None,
    transport_mode: TransportMode | str | None,
    config: ZMQConfig,
) -> Endpoint:
    """Return the endpoint for a port, with the configuration's answers where nothing is said.

    The transport is IPC where the platform has it and no ``host`` is given.

    Raises:
        TypeError: one of them is of another kind.
        ValueError: the transport mode is none.
        EndpointError: there cannot be such an endpoint on this platform, or at all.
    """
    import zmq  # Not above: nobody who is given an endpoint needs it.

    check_number("port", port, whole=True, optional=True)
    check_type("config", config, ZMQConfig)
    if host is not None:
        _check_host(host)
    # On Windows libzmq may have ipc, yet Python cannot tell there whether a socket file is live.
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
            raise EndpointError("this platform has no IPC: use TransportMode.TCP, or say nothing")
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
