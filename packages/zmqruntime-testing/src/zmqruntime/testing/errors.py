"""What this package has to say about a test.

ZMQRuntimeError
    LeftRunning       a test is over and something that it started would not end
    ScriptMismatch    what a fake was told and what it was asked do not fit
    ProxyFailed       a proxy has ended by itself, and passes nothing on any more
    RuleNeverFired    a fault was ordered of a proxy and nothing came by that it was for
    UsedAfterTest     a fixture's object was used when its test was over
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
    """A test is over and something that it started would not end; the message says what.

    Processes among it have been ended by now.
    """


class ScriptMismatch(ZMQRuntimeError):
    """A fake was asked for what it was not told, or never for what it was; says what to do."""


class ProxyFailed(ZMQRuntimeError):
    """A proxy has ended by itself, and passes nothing on any more; the message says why."""


class RuleNeverFired(ZMQRuntimeError):
    """A proxy was to do something to a message that never came; the message says what did."""


class UsedAfterTest(ZMQRuntimeError):
    """A fixture's object was used when its test was over, by another test or a thread."""


def check_open(closed: bool, what: str) -> None:
    """Raise `UsedAfterTest` for ``what``, when it is closed."""
    if closed:
        raise UsedAfterTest(
            f"{what} was used after its test was over: ask for the fixture in each test that "
            "uses it, keep none in a global or a class, and end the threads that use one"
        )
