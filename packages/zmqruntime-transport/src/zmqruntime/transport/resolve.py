"""From what a caller gave to the endpoint that is meant."""

from __future__ import annotations

import zmq

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import LOOPBACK, Endpoint
from zmqruntime.transport.runtime_dir import default_runtime_dir

__all__ = ["resolve_endpoint"]


def resolve_endpoint(
    port: int | None,
    host: str | None,
    transport_mode: TransportMode | None,
    config: ZMQConfig,
) -> Endpoint:
    """Return the endpoint for a port, with the configuration's answers where nothing is said.

    The transport is IPC where the platform has it and no ``host`` is given.
    """
    if transport_mode is None:
        use_ipc = host is None and zmq.has("ipc")
        transport_mode = TransportMode.IPC if use_ipc else TransportMode.TCP
    return Endpoint(
        port=config.default_port if port is None else port,
        transport_mode=transport_mode,
        host=host or LOOPBACK,
        control_port_offset=config.control_port_offset,
        directory=config.runtime_dir or default_runtime_dir(config.app_name),
        app_name=config.app_name,
    )
