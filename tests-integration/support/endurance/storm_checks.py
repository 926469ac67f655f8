"""Compares the clients' observations, the server's records and the recorded starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from endurance.observations import Observation, Step
from endurance.storm_plan import PlannedExecution

from zmqruntime.messages import ErrorKind, ExecutionRecord, ExecutionStatus

__all__ = ["History", "find_violations"]

_MAY_FAIL_OF = {ErrorKind.INTERRUPTED, ErrorKind.WORKER_DIED}


@dataclass(frozen=True, slots=True)
class History:
    """The plan, observations, record and starts of one execution."""

    planned: PlannedExecution
    observations: Sequence[Observation]
    record: ExecutionRecord | None
    starts: int
    """How often it was started."""

    @property
    def was_accepted(self) -> bool:
        return any(observation.step is Step.ACCEPTED for observation in self.observations)

    def violations(self) -> Iterator[str]:
        """Yield a message for each violation."""
        name, record = self.planned.execution_id, self.record
        if self.starts > 1:
            yield f"execution {name} was started {self.starts} times"
        if record is None:
            if self.was_accepted:
                yield f"execution {name} was accepted, but is unknown to the server"
            elif self.starts:
                yield f"execution {name} was started, but is unknown to the server"
            return
        if not record.status.is_terminal:
            yield f"execution {name} is still {record.status}"
        for observation in self.observations:
            if observation.step is Step.ENDED and observation != Observation.of(
                observation.number, Step.ENDED, record
            ):
                yield f"execution {name} was observed as {observation}, but is {record!r}"
        match record.status:
            case ExecutionStatus.COMPLETE:
                if record.result != self.planned.result:
                    yield f"execution {name} returned {record.result}, not {self.planned.result}"
                if not self.starts:
                    yield f"execution {name} is complete, but was never started"
            case ExecutionStatus.FAILED:
                if record.error is None or record.error.kind not in _MAY_FAIL_OF:
                    yield f"execution {name} failed without a disruption: {record.error}"
            case ExecutionStatus.CANCELLED:
                if not any(observation.step is Step.CANCELS for observation in self.observations):
                    yield f"execution {name} is cancelled, but no client requested that"


def find_violations(histories: Mapping[str, History], starts: Counter[str]) -> list[str]:
    """Return a message for each violation."""
    violations = [text for history in histories.values() for text in history.violations()]
    unplanned = starts.keys() - histories.keys()
    return violations + [f"execution {name} ran, but no client submitted it" for name in unplanned]
