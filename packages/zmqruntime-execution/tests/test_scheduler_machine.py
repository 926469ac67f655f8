"""The scheduler beside a model, under any sequence of events.

hypothesis plays clients, worker and clock. Each accepted execution has one terminal event, its
last, and sequence numbers without a gap; executions run one at a time in the order of the queue;
every request gets one reply, a held one by the end; no deadline is missed; after the end no reply
is owed. With a journal all of this holds over restarts, orderly or by a kill, and over a full
disk.

``ZMQRUNTIME_MODEL_EXAMPLES`` sets the number of examples.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from driving import START, caller, error, request
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from journals import empty_journal, quick_engine, set_sync_result
from turns import Turns

from zmqruntime.execution import (
    CommitFailed,
    JournalLifecycleEngine,
    LifecycleEngine,
    QueuePolicy,
    RestartPolicy,
    RunnerHost,
    TaskRunner,
)
from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    Exit,
    InterruptTask,
    KillWorker,
    Publish,
    Reply,
    StartWorker,
)
from zmqruntime.execution.core.events import (
    CancelRequested,
    Event,
    Now,
    ProgressReported,
    ShutdownRequested,
    StatusRequested,
    Submitted,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    TimerDue,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.events import ExecutionEvent, compose_messages
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lowlevel import Dispatcher, Transport
from zmqruntime.messages import (
    MAX_ATTEMPTS,
    AcceptedReply,
    CancelRequest,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecuteRequest,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    OkReply,
    ProgressEvent,
    ShutdownMode,
    StateEvent,
    StatusRequest,
    WorkerInfo,
    decode_event,
    decode_reply,
    decode_request,
)
from zmqruntime.messages import Reply as ReplyMessage
from zmqruntime.transport import Caller

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus
DRAIN, NOW = ShutdownMode.DRAIN, ShutdownMode.NOW

GRACE = 5.0
MAX_QUEUED = 2
HISTORY = 2
FALSE_STARTS = 5
FAILED_STARTS = 9

names = st.sampled_from([*"abcd"])
tasks = st.sampled_from([{"x": 1}, {"x": 1}, {"x": 2}])
RETRIES: list[dict[str, Any]] = [
    {},
    {},
    {"max_attempts": 2, "backoff_seconds": 0.0},
    {"max_attempts": 3, "backoff_seconds": 1.5},
    {"max_attempts": 3, "backoff_seconds": 1.5, "retry_on": (ErrorKind.INTERRUPTED,)},
]
# Ends are rare, so that most examples reach other states first.
rarely = st.sampled_from([False] * 5 + [True])


class Life:
    """One execution of the model."""

    def __init__(self, request: ExecuteRequest, arrival: int) -> None:
        self.request = request
        self.arrival = arrival
        self.attempt = 1
        self.failures = 0
        self.retry_at: float | None = None  # on the monotonic clock
        self.retry_at_wall = 0.0
        self.latest = 0  # the progress of this attempt
        self.was_cut = False  # its server died, and its next event is not yet published
        self.lost_its_server = False
        self.sequence = 0
        self.status = QUEUED
        self.kind: ErrorKind | None = None
        self.result: object = None
        self.reports = 0
        self.stop: ErrorKind | str | None = None  # the reason of the interrupt, "cancel" or a kind
        self.time_is_up: float | None = None
        self.grace_is_up: float | None = None
        self.events: list[Any] = []


class Recorder(Transport, TaskRunner):
    """Records the effects that a dispatcher performs."""

    def __init__(self) -> None:
        self.done: list[Effect] = []

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        self.done.append(Reply(caller, frame))

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        self.done.append(Publish(client_id, execution_id, tuple(events)))

    def exit(self, failure: str | None) -> None:
        self.done.append(Exit(failure))

    def handled(self, event: Event) -> None: ...

    def open(self, host: RunnerHost) -> None: ...

    def start_worker(self, slot: int = 0) -> None:
        self.done.append(StartWorker())

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        self.done.append(AssignTask(execution_id, request))

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        self.done.append(InterruptTask(execution_id))

    def kill_worker(self, slot: int = 0) -> None:
        self.done.append(KillWorker())

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return ()

    def close(self) -> None: ...


class Clients(RuleBasedStateMachine):
    """The scheduler with its clients, its worker and the clock."""

    policy = QueuePolicy.FIFO
    on_restart = RestartPolicy.FAIL
    durable = False

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.directory: Path | None = None
        if self.durable:
            self.directory = Path(tempfile.mkdtemp(prefix="zm"))
            (self.directory / "journal").write_bytes(empty_journal())
        self.begin()
        self.boot()
        self.worker_gets_ready()

    def begin(self) -> None:
        """Begin with an empty model."""
        self.names_made = 0
        self.arrivals = 0
        self.lives: dict[str, Life] = {}
        self.turns = Turns(fair=self.policy is QueuePolicy.FAIR)
        self.delayed: list[str] = []
        self.current: str | None = None
        self.unread: list[str] = []
        self.read: list[str] = []  # least recently read first
        self.has_died = False

    def boot(self) -> None:
        """Start a server, on the journal if there is one."""
        self.engine = self.make_engine()
        self.scheduler = Scheduler(
            self.engine,
            max_queued=MAX_QUEUED,
            cancel_grace_seconds=GRACE,
            on_restart=self.on_restart,
            make_id=self.make_name,
        )
        self.recorder = Recorder()
        self.dispatcher = Dispatcher(
            self.scheduler,
            self.recorder,
            self.recorder,
            wall=lambda: self.now.wall,
            monotonic=lambda: self.now.monotonic,
        )
        # The model.
        self.to_interrupt: list[str] = []
        self.to_retry: str | None = None  # requeued by this event
        self.worker = "absent"
        self.was_ready = False
        self.failed_starts = 0
        # The attempt that was not begun, and how often in a row, in one server.
        self.unbegun: tuple[str, int, int] = ("", 0, 0)
        self.restart_at: float | None = None
        self.shutdown: ShutdownMode | None = None
        self.exited = False
        self.full = False
        self.could_write = True
        # Observations.
        self.owed: dict[Caller, Callable[[ReplyMessage], None] | None] = {}
        self.held: dict[Caller, tuple[str, float]] = {}
        self.exits: list[Exit] = []
        self.seen: list[Effect] = []
        self.recover()
        self.dispatcher.start()
        self.take(self.recorder.done)
        assert [e for e in self.seen if not isinstance(e, Publish)] == [StartWorker()]

    def make_engine(self) -> LifecycleEngine:
        if self.directory is None:
            return InMemoryLifecycleEngine(HISTORY, queue_policy=self.policy)
        return quick_engine(self.directory / "journal", HISTORY, queue_policy=self.policy)

    # -- events and effects ---------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        self.recorder.done = []
        self.could_write = self.engine.available
        self.dispatcher.handle(event)
        # Further rounds of the loop handle the rest.
        for _ in range(20):
            due = self.scheduler.next_deadline
            if due is None or due > self.now.monotonic or self.exits_in(self.recorder.done):
                break
            self.dispatcher.handle(TimerDue())
        self.take(self.recorder.done)

    @staticmethod
    def exits_in(effects: list[Effect]) -> bool:
        return any(isinstance(effect, Exit) for effect in effects)

    def take(self, effects: list[Effect]) -> None:
        """Check the effects, and update the observations."""
        self.seen, self.together = [], effects
        for effect in effects:
            self.seen.append(effect)  # A reply is checked against the effects before it.
            assert not self.exits, f"{effect} after the end"
            match effect:
                case Reply():
                    assert effect.caller in self.owed, "a reply without a request"
                    check = self.owed.pop(effect.caller)
                    self.held.pop(effect.caller, None)
                    reply = decode_reply(effect.frame)
                    if check is not None:
                        check(reply)
                    record = getattr(reply, "execution", None)
                    if record is not None and record.status.is_terminal:
                        self.mark_read(record.execution_id)
                case Publish():
                    self.publish(effect)
                case StartWorker():
                    assert self.worker == "absent"
                    self.worker, self.restart_at = "starting", None
                case AssignTask():
                    assert self.worker == "idle"
                    self.worker = "busy"
                case KillWorker():
                    assert self.worker in ("busy", "ending")
                    self.worker = "ending"
                case Exit():
                    self.exits.append(effect)

    def publish(self, effect: Publish) -> None:
        for together in compose_messages(effect.execution_id, effect.events):
            for event in together:
                self.check_event(effect.client_id, decode_event(event))

    def check_event(self, client_id: str, event: ProgressEvent | StateEvent) -> None:
        life = self.lives[event.execution_id]
        assert client_id == life.request.client_id
        assert not any(is_terminal(e) for e in life.events), "an event after the terminal one"
        life.events.append(event)
        if life.was_cut and event.sequence > life.sequence:
            life.was_cut, life.sequence = False, event.sequence - 1
        assert event.sequence == life.sequence + 1
        life.sequence = event.sequence
        assert event.timestamp == self.now.wall

    def make_caller(self, check: Callable[[ReplyMessage], None] | None = None) -> Caller:
        new = caller()
        self.owed[new] = check
        return new

    def make_name(self) -> str:
        self.names_made += 1
        return f"made-{self.names_made}"

    def assigned(self) -> list[AssignTask]:
        return [effect for effect in self.seen if isinstance(effect, AssignTask)]

    @precondition(lambda self: self.exited)
    @rule()
    def the_next_server_begins(self) -> None:
        self.repair_disk()
        self.dispatcher.close()
        if not self.durable:
            self.begin()
        self.boot()

    # -- the server -----------------------------------------------------------------------------

    @precondition(lambda self: self.durable and not self.exited and not self.is_behind)
    @rule(really=rarely)
    def the_server_dies(self, really: bool) -> None:
        if not really:
            return
        self.journal._file.close()
        self.has_died = True
        self.boot()

    @property
    def journal(self) -> JournalLifecycleEngine:
        return cast("JournalLifecycleEngine", self.engine)

    @property
    def is_behind(self) -> bool:
        """Whether published changes are not on disk, since it is full or was."""
        return self.full or not self.engine.available

    @precondition(lambda self: self.durable and not self.exited and self.policy == "fifo")
    @rule(really=rarely)
    def the_disk_is_full(self, really: bool) -> None:
        if really and not self.full:
            self.full = True

            def write(changes: object, **options: Any) -> None:
                raise CommitFailed("no room")

            self.journal._file.write = write  # type: ignore[method-assign]
            set_sync_result(self.journal, works=False)

    @precondition(lambda self: self.full)
    @rule()
    def the_disk_has_room(self) -> None:
        self.repair_disk()

    def repair_disk(self) -> None:
        if self.full:
            self.full = False
            del self.journal._file.write
            set_sync_result(self.journal, works=True)

    def recover(self) -> None:
        """Apply a restart of the server to the model."""
        if self.durable:
            waiting = self.turns.order
            self.turns = Turns(fair=self.policy is QueuePolicy.FAIR)
            for name in sorted(waiting, key=lambda name: self.lives[name].arrival):
                self.wait(name)
            for name in self.delayed:
                life = self.lives[name]
                left = max(0.0, life.retry_at_wall - self.now.wall)
                life.retry_at = self.now.monotonic + left
            self.recover_history()
        if self.current is not None:
            life = self.lives[self.current]
            life.was_cut = life.lost_its_server = True
            if life.stop == "cancel":
                self.end_current(CANCELLED)
            else:
                self.fail_current(ErrorKind.INTERRUPTED, restarts=True)

    def recover_history(self) -> None:
        """After a kill read records count as unread, and the last evicted ones are back."""
        kept = [n for n, life in self.lives.items() if self.engine.get(n) and is_over(life)]
        if self.has_died:
            assert {*self.unread, *self.read} <= {*kept}
            self.unread, self.read, self.has_died = kept, [], False
        else:
            assert {*self.unread, *self.read} == {*kept}

    # -- the model ------------------------------------------------------------------------------

    @property
    def queue(self) -> list[str]:
        return self.turns.order + self.delayed

    def wait(self, name: str) -> None:
        life = self.lives[name]
        life.status = QUEUED
        if life.retry_at is None:
            self.turns.add(name, life.request.client_id, life.request.priority, life.arrival)
        else:
            self.delayed.append(name)
            self.delayed.sort(
                key=lambda name: (self.lives[name].retry_at, self.lives[name].arrival)
            )

    def end(self, name: str, status: ExecutionStatus, kind: ErrorKind | None = None) -> None:
        life = self.lives[name]
        life.status, life.kind, life.retry_at = status, kind, None
        if name == self.current:
            self.current = None
        elif name in self.delayed:
            self.delayed.remove(name)
        else:
            self.turns.drop(name)
        self.unread.append(name)
        if self.unbegun[0] == name:
            self.unbegun = ("", 0, 0)

    def mark_read(self, name: str) -> None:
        """Mark the record of an ended execution as read."""
        if name in self.unread:
            self.unread.remove(name)
        elif name in self.read:
            self.read.remove(name)
        else:
            return
        self.read.append(name)
        del self.read[:-HISTORY]

    def end_current(self, status: ExecutionStatus, kind: ErrorKind | None = None) -> None:
        assert self.current is not None
        self.end(self.current, status, kind)

    def fail_current(self, kind: ErrorKind, *, restarts: bool = False) -> None:
        """End the running execution with an error, or requeue it for a retry."""
        assert self.current is not None
        life = self.lives[self.current]
        submitted = life.request
        kinds = submitted.retry_on
        if kinds is None:
            kinds = (ErrorKind.EXCEPTION, ErrorKind.TIMEOUT, ErrorKind.WORKER_DIED)
        again = life.attempt < (submitted.max_attempts or 1) and kind in kinds
        delay = min((submitted.backoff_seconds or 0.0) * 2 ** (life.attempt - 1), 3600.0)
        restarts = restarts or (self.shutdown is not None and kind is ErrorKind.INTERRUPTED)
        is_bound = life.attempt == MAX_ATTEMPTS
        if restarts and self.on_restart is RestartPolicy.REQUEUE and not is_bound:
            again, delay = True, 0.0
        if self.shutdown is NOW and not self.durable:
            again = False
        if not again:
            self.end_current(FAILED, kind)
            return
        name, self.current = self.current, None
        life.attempt += 1
        life.failures += 1
        life.latest = 0
        life.stop = life.time_is_up = life.grace_is_up = None
        life.retry_at = self.now.monotonic + delay if delay else None
        life.retry_at_wall = self.now.wall + delay
        self.wait(name)
        self.to_retry = name

    def requeue_unbegun(self) -> None:
        """Requeue the running execution at the head: its worker had not begun it."""
        assert self.current is not None
        name, life = self.current, self.lives[self.current]
        count = self.unbegun[2] if self.unbegun[:2] == (name, life.attempt) else 0
        self.unbegun = (name, life.attempt, count + 1)
        if count + 1 == FALSE_STARTS:
            self.end_current(FAILED, ErrorKind.WORKER_DIED)
            return
        self.current = None
        life.status = QUEUED
        life.stop = life.time_is_up = life.grace_is_up = None
        self.turns.put_back(name, life.request.client_id, life.request.priority, life.arrival)

    def end_stopped(self) -> None:
        assert self.current is not None
        stop = self.lives[self.current].stop
        if stop == "cancel":
            self.end_current(CANCELLED)
        else:
            assert isinstance(stop, ErrorKind)
            self.fail_current(stop)

    def stop_current(self, why: ErrorKind | str) -> None:
        assert self.current is not None
        life = self.lives[self.current]
        life.stop = why
        life.grace_is_up = self.now.monotonic + GRACE
        self.to_interrupt.append(self.current)

    def settle(self) -> None:
        """Compare the effects with the next step of the model."""
        interrupted = [e.execution_id for e in self.seen if isinstance(e, InterruptTask)]
        assert interrupted == self.to_interrupt
        self.to_interrupt = []
        expected: list[str] = []
        # `take` has moved the worker to busy if a task was assigned.
        idle = self.worker == "idle" or bool(self.assigned())
        # A task starts if the journal was available before the event, also if its commit fails.
        could = self.could_write or self.engine.available
        goes_on = could and not (self.durable and self.shutdown)
        to_retry, self.to_retry = self.to_retry, None
        if self.turns.order[:1] == [to_retry] and not self.engine.available:
            goes_on = False  # Its failure, or the end of its backoff, has to be committed first.
        if self.current is None and self.turns.order and idle and goes_on:
            self.current = self.turns.take()
            life = self.lives[self.current]
            life.status = RUNNING
            if life.request.timeout_seconds is not None:
                life.time_is_up = self.now.monotonic + life.request.timeout_seconds
            expected = [self.current]
        assert [effect.execution_id for effect in self.assigned()] == expected
        for effect in self.assigned():
            assigned = decode_request(effect.request)
            assert assigned == self.lives[effect.execution_id].request
        self.exited = self.is_done
        if self.exited:
            self.restart_at = None

    @property
    def is_done(self) -> bool:
        ends = self.shutdown is not None and self.current is None
        return ends and (self.durable or not self.queue)

    def known(self, name: str) -> Life | None:
        ended = self.unread + self.read
        if name in self.queue or name == self.current or name in ended:
            return self.lives[name]
        return None

    def place(self, name: str, *, is_new: bool = False) -> int | None:
        # An execution assigned before a reply is not queued in it; where no commit succeeds it is
        # assigned after the reply. A new one runs when it is accepted, and is assigned after a
        # reply that was not held.
        effects = self.together if is_new else self.seen
        assigned = {effect.execution_id for effect in effects if isinstance(effect, AssignTask)}
        begun = assigned if self.could_write else set()
        waiting = [other for other in self.queue if other not in begun]
        return waiting.index(name) + 1 if name in waiting else None

    # -- requests -------------------------------------------------------------------------------

    @precondition(lambda self: not self.exited)
    @rule(
        name=names | st.none(),
        task=tasks,
        timeout=st.sampled_from([None, 3.0]),
        client=st.sampled_from(["lab", "desk"]),
        wait=st.sampled_from([0.0, 0.0, 2.0, 60.0]),
        priority=st.sampled_from([0, 0, 0, 1]),
        retries=st.sampled_from(RETRIES),
    )
    def submit(
        self,
        name: str | None,
        task: dict[str, Any],
        timeout: Any,
        client: str,
        wait: float,
        priority: int,
        retries: dict[str, Any],
    ) -> None:
        submitted = request(
            name,
            task=task,
            timeout_seconds=timeout,
            client_id=client,
            wait_seconds=wait,
            priority=priority,
            **retries,
        )
        name = name or f"made-{self.names_made + 1}"
        life = self.known(name)
        refusal = None
        if life is not None:
            # The wait is not part of the work.
            same = submitted == life.request.model_copy(update={"wait_seconds": wait})
            refusal = None if same else ErrorCode.CONFLICT
        elif self.shutdown is not None:
            refusal = ErrorCode.SHUTTING_DOWN
        elif len(self.queue) >= MAX_QUEUED:
            refusal = ErrorCode.QUEUE_FULL
        elif self.full:
            refusal = ErrorCode.JOURNAL_UNAVAILABLE
        else:
            self.arrivals += 1
            known = submitted.model_copy(update={"execution_id": name})
            self.lives[name] = Life(known, self.arrivals)
            self.wait(name)
        again = life is not None
        answered: list[ReplyMessage] = []

        def check(reply: ReplyMessage) -> None:
            answered.append(reply)
            if refusal is not None:
                assert isinstance(reply, ErrorReply)
                assert reply.code is refusal
                return
            assert isinstance(reply, AcceptedReply)
            assert (reply.execution_id, reply.duplicate) == (name, again)
            assert reply.queue_position == self.place(name, is_new=not again and not wait)
            assert (reply.execution is not None) is bool(wait)
            if reply.execution is not None:
                self.check_record(name, reply.execution)

        waiting = self.make_caller(check)
        waits = refusal is None and wait and not self.lives[name].status.is_terminal
        if waits:
            self.held[waiting] = (name, self.now.monotonic + wait)
        self.handle(Submitted(submitted, waiting))
        assert waits or answered
        if refusal is ErrorCode.JOURNAL_UNAVAILABLE and self.assigned():
            # Its start was in the redo log; it was killed when its commit failed.
            assert [effect.execution_id for effect in self.assigned()] == [name]
            assert KillWorker() in self.seen
            self.seen = [e for e in self.seen if not isinstance(e, AssignTask)]
        self.settle()

    @precondition(lambda self: not self.exited)
    @rule(name=names)
    def cancel(self, name: str) -> None:
        life = self.known(name)
        replies: list[ReplyMessage] = []
        waiting = self.make_caller(replies.append)
        if life is not None and life.status is QUEUED:
            self.end(name, CANCELLED)
        elif life is not None and life.status is RUNNING and life.stop != "cancel":
            self.stop_current("cancel")
        self.handle(CancelRequested(CancelRequest(execution_id=name), waiting))
        (reply,) = replies
        if life is None:
            assert isinstance(reply, ErrorReply)
            assert reply.code is ErrorCode.UNKNOWN_EXECUTION
        elif life.status in (COMPLETE, FAILED):
            assert isinstance(reply, ErrorReply)
            assert reply.code is ErrorCode.CONFLICT
        else:
            assert isinstance(reply, OkReply)
            assert reply.execution_status is life.status
        self.settle()

    @precondition(lambda self: not self.exited and self.current is not None)
    @rule()
    def cancel_what_runs(self) -> None:
        assert self.current is not None
        self.cancel(self.current)

    @precondition(lambda self: not self.exited)
    @rule(name=names, wait=st.sampled_from([0.0, 2.0, 60.0]))
    def status(self, name: str, wait: float) -> None:
        life = self.known(name)

        def check(reply: ReplyMessage) -> None:
            if life is None:
                assert isinstance(reply, ErrorReply)
                assert reply.code is ErrorCode.UNKNOWN_EXECUTION
                return
            assert isinstance(reply, ExecutionStatusSnapshot)
            assert reply.execution is not None
            answers.append(reply.execution)

        answers: list[ExecutionRecord] = []
        waiting = self.make_caller(check)
        if life is not None and wait and not life.status.is_terminal:
            self.held[waiting] = (name, self.now.monotonic + wait)
        self.handle(StatusRequested(StatusRequest(execution_id=name, wait_seconds=wait), waiting))
        for record in answers:
            assert life is not None
            self.check_record(name, record)
        self.settle()

    def check_record(self, name: str, record: ExecutionRecord) -> None:
        life = self.lives[name]
        # A task may start before the reply, when a long poll and a backoff end together.
        begins = life.status is QUEUED and any(e.execution_id == name for e in self.assigned())
        assert record.status is (RUNNING if begins else life.status)
        assert record.queue_position == (None if begins else self.place(name))
        assert record.result == life.result
        assert (record.error and record.error.kind) == life.kind
        assert (record.attempt, len(record.attempts)) == (life.attempt, life.failures)
        assert (record.retry_at is not None) is (life.retry_at is not None)
        latest = int(record.progress.completed or 0) if record.progress is not None else 0
        # Reports within the last second before a kill may be lost.
        assert latest == life.latest or (life.lost_its_server and latest < life.latest)

    @precondition(lambda self: not self.exited)
    @rule(limit=st.integers(0, 3))
    def page_through_the_queue(self, limit: int) -> None:
        listed: list[str] = []
        cursor = None
        while True:
            pages: list[ReplyMessage] = []
            page_request = StatusRequest(limit=limit, cursor=cursor)
            self.handle(StatusRequested(page_request, self.make_caller(pages.append)))
            (page,) = pages
            assert isinstance(page, ExecutionStatusSnapshot)
            listed += [info.execution_id for info in page.queued_executions]
            if (cursor := page.cursor) is None:
                break
        assert listed == (self.queue if limit else [])
        assert [i.execution_id for i in page.running_executions] == (
            [self.current] if self.current else []
        )
        self.settle()

    @precondition(lambda self: not self.exited)
    @rule(really=rarely, mode=st.sampled_from(ShutdownMode), forced=st.booleans())
    def shut_down(self, really: bool, mode: ShutdownMode, forced: bool) -> None:
        if not really:
            return
        forced = forced and mode is NOW
        if self.shutdown is not NOW:
            self.shutdown = mode
        if mode is NOW:
            if not self.durable:
                self.cancel_queue()
            if self.current is not None:
                if self.lives[self.current].stop is None:
                    self.stop_current(ErrorKind.INTERRUPTED)
                if forced:
                    self.end_stopped()
        self.handle(ShutdownRequested(mode, forced=forced))
        self.settle()

    def cancel_queue(self) -> None:
        for name in list(self.queue):
            self.end(name, CANCELLED, ErrorKind.INTERRUPTED)

    # -- the worker -----------------------------------------------------------------------------

    @precondition(lambda self: not self.exited and self.worker == "starting")
    @rule()
    def worker_gets_ready(self) -> None:
        self.worker, self.was_ready, self.failed_starts = "idle", True, 0
        self.handle(WorkerReady())
        self.settle()

    @precondition(lambda self: not self.exited)
    @rule(name=names, count=st.integers(1, 20))
    def any_task_reports(self, name: str, count: int) -> None:
        """Mostly a process that an ended task has left behind."""
        self.report(name, count)

    @precondition(lambda self: not self.exited and self.current is not None)
    @rule(count=st.integers(1, 20))
    def task_reports(self, count: int) -> None:
        assert self.current is not None
        self.report(self.current, count)

    def report(self, name: str, count: int) -> None:
        runs = name == self.current
        first = 99
        if runs:
            first = self.lives[name].latest + 1
            self.lives[name].reports += count
            self.lives[name].latest += count
        bodies = tuple(b'{"completed":%d}' % n for n in range(first, first + count))
        self.handle(ProgressReported(name, bodies))
        assert bool(self.seen) is runs
        self.settle()

    @precondition(lambda self: not self.exited)
    @rule(name=names, how=st.sampled_from(["returns", "raises", "stops"]))
    def any_task_ends(self, name: str, how: str) -> None:
        """The end of an execution that is not running is ignored."""
        if name != self.current:
            self.handle(self.end_event(name, how))
            assert not self.seen
            self.settle()

    @precondition(lambda self: not self.exited and self.current is not None)
    @rule(how=st.sampled_from(["returns", "raises", "stops"]))
    def task_ends(self, how: str) -> None:
        assert self.current is not None
        name, life = self.current, self.lives[self.current]
        if how == "stops" and life.stop is None:
            return  # It was not interrupted.
        if how == "returns":
            life.result = {"of": name}
            self.end_current(COMPLETE)
        elif how == "raises":
            self.fail_current(ErrorKind.EXCEPTION)
        else:
            self.end_stopped()
        if self.worker == "busy":
            self.worker = "idle"
        self.handle(self.end_event(name, how))
        self.settle()

    @staticmethod
    def end_event(name: str, how: str) -> TaskReturned | TaskRaised | TaskStopped:
        if how == "returns":
            return TaskReturned(name, b'{"of":"%s"}' % name.encode())
        return TaskRaised(name, error()) if how == "raises" else TaskStopped(name)

    @precondition(lambda self: not self.exited and self.current is not None)
    @rule(more=st.booleans())
    def worker_exits_again_and_again_before_it_begins(self, more: bool) -> None:
        """Also further workers, while the same execution is first in the queue."""
        name = self.current
        for _ in range(FALSE_STARTS + 1 if more else 2):
            if self.exited or self.worker == "absent" or self.current != name:
                return
            self.worker_exits(-9, False)
            if self.worker == "starting":
                self.worker_gets_ready()

    @precondition(lambda self: not self.exited and self.was_ready and self.worker != "absent")
    @rule(more=st.booleans())
    def workers_fail_to_start(self, more: bool) -> None:
        for _ in range(FAILED_STARTS + 2 if more else FAILED_STARTS - 1):
            if self.exited:
                return
            if self.worker != "absent":
                self.worker_exits(1, True)
            if self.restart_at is not None:
                self.time_passes(self.restart_at - self.now.monotonic)

    @precondition(lambda self: not self.exited and self.worker != "absent")
    @rule(exit_code=st.sampled_from([0, 1, -9, None]), has_begun=st.booleans())
    def worker_exits(self, exit_code: int | None, has_begun: bool) -> None:
        was, self.worker = self.worker, "absent"
        if was == "starting" and not self.was_ready:
            if not self.durable:
                self.cancel_queue()
            self.handle(WorkerExited(exit_code, "no model", (), has_begun))
            self.exited = True
            assert self.exits
            assert "no model" in str(self.exits[0].failure)
            return
        if self.current is not None:
            stop = self.lives[self.current].stop
            is_left_out = self.shutdown is NOW and not self.durable
            if not has_begun and stop != "cancel" and not is_left_out:
                self.requeue_unbegun()
            elif stop is not None:
                self.end_stopped()
            else:
                self.fail_current(ErrorKind.WORKER_DIED)
        delay = 0.0
        if was == "starting":
            delay = min(0.1 * 2**self.failed_starts, 30.0)
            self.failed_starts += 1
        goes_on = not self.is_done
        if goes_on and self.failed_starts >= FAILED_STARTS and self.shutdown is not NOW:
            for name in list(self.queue):
                self.end(name, FAILED, ErrorKind.WORKER_DIED)
        self.restart_at = self.now.monotonic + delay if delay and goes_on else None
        self.handle(WorkerExited(exit_code, "", (), has_begun))
        assert (self.worker == "starting") is (goes_on and not delay)
        self.settle()

    # -- the clock ------------------------------------------------------------------------------

    @precondition(lambda self: not self.exited)
    @rule(seconds=st.sampled_from([0.0, 0.05, 1.0, 2.0, 5.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now = Now(self.now.wall + seconds, self.now.monotonic + seconds)
        now = self.now.monotonic
        answered = {waiting for waiting, (_, until) in self.held.items() if until <= now}
        expects_kill = expects_start = False
        if self.current is not None:
            life = self.lives[self.current]
            if life.grace_is_up is not None and life.grace_is_up <= now:
                life.grace_is_up, expects_kill = None, True
            if life.time_is_up is not None and life.time_is_up <= now:
                life.time_is_up = None
                if life.stop is None:
                    self.stop_current(ErrorKind.TIMEOUT)
        if self.restart_at is not None and self.restart_at <= now:
            expects_start = True
        for name in list(self.delayed):
            life = self.lives[name]
            if life.retry_at is not None and life.retry_at <= now:
                life.retry_at = None
                self.delayed.remove(name)
                self.wait(name)
                if self.turns.order[0] == name:
                    self.to_retry = name
        held = set(self.held)
        self.handle(TimerDue())
        assert held - set(self.held) == answered
        assert (KillWorker() in self.seen) is expects_kill
        assert (StartWorker() in self.seen) is expects_start
        self.settle()

    @precondition(lambda self: self.is_stopping)
    @rule()
    def grace_period_passes(self) -> None:
        self.time_passes(GRACE)

    @property
    def is_stopping(self) -> bool:
        return self.current is not None and self.lives[self.current].stop is not None

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def no_deadline_is_missed(self) -> None:
        if self.exited:
            return
        due = [until for _, until in self.held.values()]
        if self.current is not None:
            life = self.lives[self.current]
            due += [t for t in (life.time_is_up, life.grace_is_up) if t is not None]
        due += [t for t in (self.lives[name].retry_at for name in self.delayed) if t is not None]
        due += [self.restart_at] if self.restart_at is not None else []
        if due:
            assert self.scheduler.next_deadline is not None
            assert self.scheduler.next_deadline <= min(due)

    @invariant()
    def only_held_requests_lack_a_reply(self) -> None:
        assert set(self.owed) == set(self.held)
        for name, _ in self.held.values():
            assert not self.lives[name].status.is_terminal

    @invariant()
    def events_match_each_execution(self) -> None:
        for name, life in self.lives.items():
            states = [e for e in life.events if isinstance(e, StateEvent)]
            assert states[-1].status is life.status, name
            assert states[0].status is QUEUED
            assert is_terminal(life.events[-1]) is life.status.is_terminal
            assert sum(is_terminal(e) for e in life.events) <= 1
            reason = states[-1].error
            assert (reason and reason.kind) == life.kind
            assert len(life.events) == len(states) + life.reports, name

    @invariant()
    def scheduler_describes_its_state(self) -> None:
        assert self.scheduler.slots[0].execution_id == self.current
        assert self.scheduler.ready is (
            self.shutdown is None
            and not self.exited
            and self.worker in ("idle", "busy")
            and self.engine.available
        )
        counts = self.scheduler.engine.counts
        assert counts[QUEUED] == len(self.queue)
        assert counts[RUNNING] == (self.current is not None)
        assert sum(counts.values()) == counts[QUEUED] + counts[RUNNING] + len(self.unread) + len(
            self.read
        )

    @invariant()
    def server_exits_when_done_and_then_owes_no_reply(self) -> None:
        assert len(self.exits) == self.exited
        if self.exited:
            assert not self.owed
            for name, life in self.lives.items():
                assert life.status.is_terminal or (self.durable and name in self.queue)

    def teardown(self) -> None:
        """A forced shutdown ends the server in any state."""
        try:
            if not self.exited:
                self.shut_down(True, NOW, forced=True)
                self.server_exits_when_done_and_then_owes_no_reply()
                self.events_match_each_execution()
        finally:
            self.repair_disk()
            self.dispatcher.close()
            if self.directory is not None:
                shutil.rmtree(self.directory)


def is_over(life: Life) -> bool:
    return life.status.is_terminal


def is_terminal(event: object) -> bool:
    return isinstance(event, StateEvent) and event.status.is_terminal


class FairClients(Clients):
    """Clients of a fair queue."""

    policy = QueuePolicy.FAIR


class ReturningClients(Clients):
    """Clients of a server with a journal that fails interrupted executions."""

    durable = True


class PatientClients(Clients):
    """Clients of a server with a journal that requeues interrupted executions, in a fair queue."""

    durable = True
    policy = QueuePolicy.FAIR
    on_restart = RestartPolicy.REQUEUE


_HOW_OFTEN = settings(
    parent=settings.get_profile("unhurried"),
    max_examples=int(os.environ.get("ZMQRUNTIME_MODEL_EXAMPLES", "100")),
    stateful_step_count=50,
)

TestClients = Clients.TestCase
TestClients.settings = _HOW_OFTEN
TestFairClients = FairClients.TestCase
TestFairClients.settings = _HOW_OFTEN
TestReturningClients = ReturningClients.TestCase
TestReturningClients.settings = _HOW_OFTEN
TestPatientClients = PatientClients.TestCase
TestPatientClients.settings = _HOW_OFTEN
