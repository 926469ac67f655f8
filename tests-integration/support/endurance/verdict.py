"""Whether a storm was survived: the clients' notes, the server's records and the ledger agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from endurance.notes import Note, Said
from endurance.schedule import Wish

from zmqruntime.messages import ErrorKind, ExecutionRecord, ExecutionStatus

__all__ = ["History", "find_faults"]

_MAY_FAIL_OF = {ErrorKind.INTERRUPTED, ErrorKind.WORKER_DIED}


@dataclass(frozen=True, slots=True)
class History:
    """All that is known of one execution in the end."""

    wish: Wish
    notes: Sequence[Note]
    record: ExecutionRecord | None
    begun: int
    """How often the ledger says that it began."""

    @property
    def was_accepted(self) -> bool:
        return any(note.said is Said.ACCEPTED for note in self.notes)

    def faults(self) -> Iterator[str]:
        """Say what must not be, a sentence each."""
        name, record = self.wish.execution_id, self.record
        if self.begun > 1:
            yield f"execution {name} was begun {self.begun} times"
        if record is None:
            if self.was_accepted:
                yield f"execution {name} was accepted, and the server does not know it"
            elif self.begun:
                yield f"execution {name} was begun, and the server does not know it"
            return
        if not record.status.is_terminal:
            yield f"execution {name} is still {record.status}"
        for note in self.notes:
            if note.said is Said.ENDED and note != Note.of(note.number, Said.ENDED, record):
                yield f"execution {name} was told to be {note}, and then to be {record!r}"
        match record.status:
            case ExecutionStatus.COMPLETE:
                if record.result != self.wish.result:
                    yield f"execution {name} came to {record.result}, not to {self.wish.result}"
                if not self.begun:
                    yield f"execution {name} is complete, and never began"
            case ExecutionStatus.FAILED:
                if record.error is None or record.error.kind not in _MAY_FAIL_OF:
                    yield f"execution {name} failed, which nobody made it do: {record.error}"
            case ExecutionStatus.CANCELLED:
                if not any(note.said is Said.CANCELS for note in self.notes):
                    yield f"execution {name} is cancelled, and nobody wanted that"


def find_faults(histories: Mapping[str, History], begun: Counter[str]) -> list[str]:
    """Return a sentence for each thing that must not be; none when the storm was survived."""
    faults = [fault for history in histories.values() for fault in history.faults()]
    strangers = begun.keys() - histories.keys()
    return faults + [f"execution {name} ran, and nobody submitted it" for name in strangers]
