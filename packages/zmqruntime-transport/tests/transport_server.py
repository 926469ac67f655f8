"""A server process for the tests of launchers, with a choice of misbehaviour."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from zmqruntime.messages import JsonObject, ShutdownMode
from zmqruntime.transport import ServerArguments, ServerSession, WorkSummary, ZMQServer
from zmqruntime.transport.server import server_run


class Server(ZMQServer):
    """Prints a line when it serves; its pong has its import path."""

    def start(self) -> None:
        super().start()
        print("serves", flush=True)

    def describe(self) -> JsonObject:
        return {"path": [*sys.path]}


class PrintingServer(Server):
    """Prints 512 KiB at each ping; checks its log file often."""

    def start(self) -> None:
        server_run._LOG_CHECK_SECONDS = 0.001
        super().start()

    def describe(self) -> JsonObject:
        print("a line of 32 bytes, with its end\n" * 16_384, end="", flush=True)
        return {}


class StubbornServer(Server):
    """Ignores shutdown requests: it has to be killed."""

    def make_session(self) -> ServerSession:
        return StubbornSession("Stubborn", "0", self.endpoint, self.config)


class StubbornSession(ServerSession):
    def shut_down(self, mode: ShutdownMode) -> None:
        print("stop requested", flush=True)


class UnreadyServer(Server):
    """Listens, and never becomes ready."""

    def make_session(self) -> ServerSession:
        return UnreadySession("Unready", "0", self.endpoint, self.config)


class UnreadySession(ServerSession):
    @property
    def ready(self) -> bool:
        return False


class DurableServer(Server):
    """Reports its work as durable."""

    def make_session(self) -> ServerSession:
        return DurableSession("Durable", "0", self.endpoint, self.config)


class DurableSession(ServerSession):
    def describe_work(self, limit: int) -> WorkSummary:
        return WorkSummary(durable=True)


SERVERS = {
    "serve": Server,
    "durable": DurableServer,
    "print": PrintingServer,
    "stubborn": StubbornServer,
    "unready": UnreadyServer,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--act", default="serve")
    ServerArguments.add_options(parser)
    options = parser.parse_args()
    arguments = ServerArguments.from_namespace(options)
    match options.act:
        case "exit":
            print("no licence for this machine", file=sys.stderr)
            sys.exit(3)
        case "abort":
            print("about to abort", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        case "hang":
            print("never listens", file=sys.stderr, flush=True)
            threading.Event().wait()
    started = SERVERS[options.act](arguments.port, **arguments.options)
    started.serve_forever(owner=arguments.owner)
    print("ended", flush=True)


if __name__ == "__main__":
    main()
