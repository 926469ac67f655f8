"""Proxies of a test: open when they are given out, looked through and gone when it is over."""

from __future__ import annotations

from typing import Self

from zmqruntime.testing.endpoint import HasEndpoint
from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.faults.proxy import FaultProxy
from zmqruntime.testing.teardown import Teardown, where_is
from zmqruntime.transport import Deadline

__all__ = ["FaultProxyFactory"]

# The part of a test's teardown after which its proxies have ended.
_ENDED = 0.5


class FaultProxyFactory:
    """Opens proxies, and ends them all; then makes sure that every rule has fired.

    The fixture ``fault_proxy`` is one. By itself it is a context manager, for fixtures of
    another scope.

    Args:
        teardown: the clock that it shares with what else ends with the test; None: its own.
    """

    def __init__(self, *, teardown: Teardown | None = None) -> None:
        self._closed = False
        self._teardown = teardown or Teardown()
        self._proxies: list[FaultProxy] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(check=error[0] is None)

    def __call__(self, server: HasEndpoint) -> FaultProxy:
        """Return a proxy before a server, or before another proxy.

        Raises:
            TypeError: ``server`` is a fake in memory, which has no messages to lose.
        """
        check_open(self._closed, "fault_proxy")
        self._proxies.append(FaultProxy(server))
        return self._proxies[-1]

    def close(self, *, check: bool = True) -> None:
        """End every proxy, all at once.

        Args:
            check: whether to make sure that every rule has fired.

        Raises:
            LeftRunning: one would not end.
            ProxyFailed: one had ended before, by itself.
            RuleNeverFired: see `FaultProxy.check`.
        """
        self._closed = True
        proxies, self._proxies = self._proxies, []
        for proxy in proxies:
            proxy._begin_to_end()
        deadline = Deadline.after(self._teardown.left(_ENDED))
        for proxy in proxies:
            if not proxy.stop(deadline.remaining):
                name = f"zmqruntime-proxy-{proxy.endpoint.port}"
                raise LeftRunning(f"the proxy on {proxy.endpoint} did not end; {where_is(name)}")
        if check:
            for proxy in proxies:
                proxy.check()
