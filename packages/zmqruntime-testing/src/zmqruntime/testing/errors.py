"""What a fixture has to say about a test.

ZMQRuntimeError
    LeftRunning    a test is over and something that it started would not end
"""

from __future__ import annotations

from zmqruntime.messages import ZMQRuntimeError

__all__ = ["LeftRunning"]


class LeftRunning(ZMQRuntimeError):
    """A test is over and something that it started would not end; the message says what.

    Processes among it have been ended by now.
    """
