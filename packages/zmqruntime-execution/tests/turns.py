"""The order of a queue in the fewest words, for tests to compare with."""

from __future__ import annotations

__all__ = ["Turns"]


class Turns:
    """Names that wait. Slow, and easy to read."""

    def __init__(self, *, fair: bool) -> None:
        self._fair = fair
        # The clients in the order in which they came, each with its entries in their order.
        self._waiting: dict[str, list[tuple[int, int, str]]] = {}
        self._has_none: set[str] = set()
        """Who has no turn in this round: it has had it, or came while it went on."""
        self._before: list[str] = []
        """The clients before the latest turn was taken."""

    def add(self, name: str, client: str, priority: int, arrival: int) -> None:
        client = client if self._fair else "all"
        if client not in self._waiting:
            self._has_none.add(client)
        entries = self._waiting.setdefault(client, [])
        entries.append((-priority, arrival, name))
        entries.sort()

    def take(self) -> str:
        """Remove and return the first one: its client has had a turn."""
        name, client = self._walk()[0]
        self._before = list(self._waiting)
        if client in self._has_none:
            self._has_none.clear()
        self._has_none.add(client)
        self.drop(name)
        return name

    def put_back(self, name: str, client: str, priority: int, arrival: int) -> None:
        """Undo the latest `take`: the client's turn is the next one again."""
        client = client if self._fair else "all"
        self.add(name, client, priority, arrival)
        self._has_none.discard(client)
        order = [*self._before, *(name for name in self._waiting if name not in self._before)]
        self._waiting = {name: self._waiting[name] for name in order if name in self._waiting}

    def drop(self, name: str) -> None:
        for client, entries in list(self._waiting.items()):
            self._waiting[client] = [entry for entry in entries if entry[-1] != name]
            if not self._waiting[client]:
                del self._waiting[client]

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self._walk()]

    def _walk(self) -> list[tuple[str, str]]:
        """Go round and round, one of each client's in each round."""
        left = {client: [name for *_, name in entries] for client, entries in self._waiting.items()}
        order: list[tuple[str, str]] = []
        done = set(self._has_none)
        while left:
            for client in [client for client in left if client not in done]:
                order.append((left[client].pop(0), client))
                if not left[client]:
                    del left[client]
            done.clear()
        return order
