"""`FaultProxyFactory`: proxies that are checked and closed when the test ends."""

from __future__ import annotations

from typing import Self

from zmqruntime.testing.endpoint import HasEndpoint
from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.faults.proxy import FaultProxy
from zmqruntime.testing.teardown import Teardown, describe_thread
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["FaultProxyFactory"]

# The share of the teardown time after which proxies are closed.
_CLOSED = 0.5


class FaultProxyFactory:
    """Opens proxies, closes them at the end, and checks that every rule has fired.

    The fixture ``fault_proxy`` is one. For fixtures of another scope it is a context
    manager.

    Args:
        teardown: the time budget that is shared with other factories; None for its own.
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
        """Return a proxy in front of a server, or of another proxy.

        Raises:
            TypeError: ``server`` is an in-memory fake, which sends no messages.
        """
        check_open(self._closed, "fault_proxy")
        self._proxies.append(FaultProxy(server))
        return self._proxies[-1]

    def close(self, *, check: bool = True) -> None:
        """Close every proxy.

        Args:
            check: whether to check that every rule has fired.

        Raises:
            LeftRunning: a proxy did not stop.
            ProxyFailed: the thread of a proxy has failed.
            RuleNeverFired: see `FaultProxy.check`.
        """
        self._closed = True
        proxies, self._proxies = self._proxies, []
        for proxy in proxies:
            proxy._request_stop()
        deadline = Deadline.after(self._teardown.left(_CLOSED))
        for proxy in proxies:
            if not proxy.stop(deadline.remaining):
                name = f"zmqruntime-proxy-{proxy.endpoint.port}"
                raise LeftRunning(
                    f"the proxy on {proxy.endpoint} did not stop; {describe_thread(name)}"
                )
        if check:
            for proxy in proxies:
                proxy.check()
