"""Compares the running server with the application that a client's launcher would start."""

from __future__ import annotations

import sys
import warnings
from enum import StrEnum
from types import FrameType

from zmqruntime.messages import ApplicationInfo, PongReply
from zmqruntime.transport.application import Difference, ExpectedApplication, find_differences
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ServerMismatch
from zmqruntime.transport.process.launcher import ServerLauncher

__all__ = ["MismatchPolicy", "ServerGuard", "ServerMismatchWarning"]


# Differences that mean another application, rather than another state of the same one.
_OTHER = frozenset({Difference.CLASS, Difference.ORIGIN})


class MismatchPolicy(StrEnum):
    """What a client does about a running server that its launcher would not have started."""

    REFUSE = "refuse"
    """Raise `ServerMismatch`. The default for another class or source file."""
    WARN = "warn"
    """Attach and warn. The default for another version, other code or other arguments."""
    RESTART = "restart"
    """Stop it and launch another; raise `ServerMismatch` while it runs or queues executions."""


class ServerMismatchWarning(UserWarning):
    """A client attached to a server that differs from the one that its launcher would start."""


class ServerGuard:
    """Compares each server that a client finds with the one that its launcher would start.

    Args:
        endpoint: the server's, for messages.
        launcher: the client's; None: every server is accepted.
        policy: None: refuse another class or another source file, warn of other differences.
    """

    def __init__(
        self, endpoint: Endpoint, launcher: ServerLauncher | None, policy: MismatchPolicy | None
    ) -> None:
        self._endpoint = endpoint
        self._launcher = launcher
        self._policy = policy
        self._warned_of: object = None

    @property
    def compares(self) -> bool:
        """Whether there is a launcher to compare with."""
        return self._launcher is not None

    def accept(self, pong: PongReply, *, may_restart: bool = False) -> bool:
        """Return whether to attach to a server; False: to stop it and launch another one.

        Warns once for each server process that it accepts in spite of a difference.

        Raises:
            ServerMismatch: the launcher would start another server.
        """
        # Older servers, fakes, and launchers with launch() alone do not describe the application.
        expect = getattr(self._launcher, "expect", None)
        if expect is None or (found := pong.application) is None:
            return True
        expected: ExpectedApplication | None = expect(found)
        if expected is None:
            return True
        differences = find_differences(expected, found)
        if not differences:
            return True
        what = (
            f"the server on {self._endpoint} (process {pong.process.pid}) "
            f"{_describe(differences, expected, found)}"
        )
        policy = self._policy
        if policy is None:
            is_other = not _OTHER.isdisjoint(differences)
            policy = MismatchPolicy.REFUSE if is_other else MismatchPolicy.WARN
        if policy is MismatchPolicy.WARN:
            self._warn(pong, what)
            return True
        if policy is MismatchPolicy.RESTART and may_restart:
            if not (pong.running_count or pong.queued_count):
                return False
            what += (
                f". It cannot be restarted while it runs {pong.running_count} and queues "
                f"{pong.queued_count} executions: wait until they have ended"
            )
        remedy = _remedy(self._endpoint, self._policy)
        raise ServerMismatch(f"{what}{remedy}", expected=expected, found=found)

    def _warn(self, pong: PongReply, what: str) -> None:
        if self._warned_of != pong.process:
            self._warned_of = pong.process
            message = f"{what}. To replace it, stop it, or set on_mismatch='restart'"
            warnings.warn(message, ServerMismatchWarning, stacklevel=_find_caller())


def _describe(
    differences: tuple[Difference, ...], expected: ExpectedApplication, found: ApplicationInfo
) -> str:
    if Difference.CLASS in differences:
        return f"runs {found.class_path}, and this client's launcher starts {expected.class_path}"
    if Difference.ORIGIN in differences:
        return (
            f"runs {found.class_path} from another directory than this client's launcher would "
            "(two applications with the same module and class names)"
        )
    parts = {
        Difference.VERSION: f"in version {found.version!r} instead of {expected.version!r}",
        Difference.CODE: "from source files that differ",
        Difference.ARGUMENTS: "with other arguments than this client's launcher",
    }
    return f"runs {found.class_path} {'; '.join(parts[difference] for difference in differences)}"


def _remedy(endpoint: Endpoint, policy: MismatchPolicy | None) -> str:
    others = "'warn'" if policy is MismatchPolicy.RESTART else "'warn' or 'restart'"
    return (
        f"; stop it ('zmqruntime stop --port {endpoint.port}'), give this application its own port "
        f"or app_name (ZMQConfig), or set on_mismatch={others}"
    )


def _find_caller() -> int:
    """Return the stack level of the first caller outside of these packages, for a warning."""
    level, frame = 1, sys._getframe(1)
    while (caller := frame.f_back) is not None and _is_ours(frame):
        level, frame = level + 1, caller
    return level


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__")
    return isinstance(name, str) and name.startswith("zmqruntime.")
