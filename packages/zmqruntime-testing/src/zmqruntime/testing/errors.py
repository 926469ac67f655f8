"""Errors of the test support.

ZMQRuntimeError
    LeftRunning       a resource of a test did not end during teardown
    ScriptMismatch    the requests to a fake do not match its scripts
    ProxyFailed       the thread of a proxy has failed
    RuleNeverFired    no message matched a rule of a proxy
    UsedAfterTest     an object of a fixture was used after its test
"""

from __future__ import annotations

from zmqruntime.messages import ZMQRuntimeError

__all__ = [
    "LeftRunning",
    "ProxyFailed",
    "RuleNeverFired",
    "ScriptMismatch",
    "UsedAfterTest",
    "check_open",
]


class LeftRunning(ZMQRuntimeError):
    """A server, client, thread or process of a test did not end; the message names it.

    Processes have been killed.
    """


class ScriptMismatch(ZMQRuntimeError):
    """The requests to a fake do not match its scripts; the message names the difference."""


class ProxyFailed(ZMQRuntimeError):
    """The thread of a proxy has failed, and messages are not forwarded; names the cause."""


class RuleNeverFired(ZMQRuntimeError):
    """No message matched a rule of a proxy; the message lists those that passed."""


class UsedAfterTest(ZMQRuntimeError):
    """An object of a fixture was used after its test, by another test or a thread."""


def check_open(closed: bool, what: str) -> None:
    """Raise `UsedAfterTest` for ``what`` if it is closed."""
    if closed:
        raise UsedAfterTest(
            f"{what} was used after its test had ended: request the fixture in each test that uses "
            "it, do not store it in a global or a class, and stop the threads that use it"
        )
