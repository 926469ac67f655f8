"""``python -m zmqruntime.testing.fake``: a fake with the standard tasks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from zmqruntime.messages import ZMQRuntimeError
from zmqruntime.testing.fake import FakeExecutionServer
from zmqruntime.testing.standard_tasks import standard_script
from zmqruntime.transport import ServerArguments, TransportMode

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a shutdown request or Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqruntime.testing.fake",
        description="A server with the standard tasks echo, fail, spin and count, without a "
        "worker process. It listens on TCP by default, for clients in any language.",
    )
    ServerArguments.add_options(parser)
    parser.set_defaults(transport=TransportMode.TCP)
    arguments = ServerArguments.from_namespace(parser.parse_args(argv))
    try:
        server = FakeExecutionServer(arguments.port, **arguments.options)
        server.always(standard_script)
        server.start()
        endpoint = server.endpoint
        print(f"control {endpoint.control_address}", f"data {endpoint.data_address}", flush=True)
        server.serve_forever(owner=arguments.owner)
    except ZMQRuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
