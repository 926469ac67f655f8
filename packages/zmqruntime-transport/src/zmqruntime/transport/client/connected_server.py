"""The server that a client is connected to: its latest pong, and its process where it is known."""

from __future__ import annotations

from zmqruntime.messages import PongReply
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ServerLost
from zmqruntime.transport.process.exit_code import describe_exit
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.launcher import LaunchedServer

__all__ = ["ConnectedServer"]


class ConnectedServer:
    """What a client knows of its server.

    Args:
        endpoint: where the server listens.
        pong: its reply to the ping with which the client attached.
        launched: its process, when this client launched it.
    """

    def __init__(
        self, endpoint: Endpoint, pong: PongReply, launched: LaunchedServer | None
    ) -> None:
        self.pong = pong
        self.launched = launched
        self._endpoint = endpoint
        process = ProcessIdentity(pong.process.pid, pong.process.create_time)
        # A tunnel or a container's port is local, but not the pid of the server behind it.
        is_known = endpoint.is_local and process.is_running()
        self._process = process if is_known else None

    @property
    def may_return(self) -> bool:
        """Whether a lost server can come back.

        False when its process is known to have ended, without a journal for a successor.
        """
        return self._process is None or self.pong.durable or self._process.is_running()

    @property
    def exit_code(self) -> int | None:
        """How the server ended; None while it runs, or when this client did not launch it."""
        return self.launched.exit_code() if self.launched is not None else None

    def raise_if_ended(self, _: Outcome) -> None:
        """Raise `ServerLost` when the server's process is known to have ended."""
        if self._process is None or self._process.is_running():
            return
        # A process counts as ended a moment before its parent can read its exit code.
        code = self.launched.wait(1.0) if self.launched is not None else None
        how = f" with {describe_exit(code)}" if code is not None else ""
        raise ServerLost(
            f"the server on {self._endpoint} (process {self._process.pid}) has ended{how}",
            exit_code=code,
        )

    def wait_for_process(self, deadline: Deadline, closed: CloseSignal) -> bool:
        """Wait until the process has ended; True when it is not known.

        Raises:
            NotConnected: the client was closed meanwhile.
        """
        process = self._process
        return process is None or closed.wait_for(process.wait, deadline, "zmqruntime-end")
