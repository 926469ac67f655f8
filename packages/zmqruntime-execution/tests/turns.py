"""A model of the queue's order."""

from __future__ import annotations

__all__ = ["Turns"]


class Turns:
    """The queued names; slow and simple."""

    def __init__(self, *, fair: bool) -> None:
        self._fair = fair
        # The clients by arrival, each with its entries in order.
        self._waiting: dict[str, list[tuple[int, int, str]]] = {}
        self._without_turn: set[str] = set()
        """Clients without a turn in this round: they have had it, or arrived during the round."""
        self._before: list[str] = []
        """The clients before the latest `take`."""

    def add(self, name: str, client: str, priority: int, arrival: int) -> None:
        client = client if self._fair else "all"
        if client not in self._waiting:
            self._without_turn.add(client)
        entries = self._waiting.setdefault(client, [])
        entries.append((-priority, arrival, name))
        entries.sort()

    def take(self) -> str:
        """Remove and return the first name, with a turn of its client."""
        name, client = self._walk()[0]
        self._before = list(self._waiting)
        if client in self._without_turn:
            self._without_turn.clear()
        self._without_turn.add(client)
        self.drop(name)
        return name

    def put_back(self, name: str, client: str, priority: int, arrival: int) -> None:
        """Undo the latest `take`: its client has the next turn again."""
        client = client if self._fair else "all"
        self.add(name, client, priority, arrival)
        self._without_turn.discard(client)
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
        """Return the names in order, one of each client in each round."""
        left = {client: [name for *_, name in entries] for client, entries in self._waiting.items()}
        order: list[tuple[str, str]] = []
        done = set(self._without_turn)
        while left:
            for client in [client for client in left if client not in done]:
                order.append((left[client].pop(0), client))
                if not left[client]:
                    del left[client]
            done.clear()
        return order
