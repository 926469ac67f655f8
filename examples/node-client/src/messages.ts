// Made by `npm run types` from the JSON Schemas of zmqruntime-messages. Do not edit.

export type Message = Request | Reply | Event;
export type Request =
  | PingRequest
  | ExecuteRequest
  | StatusRequest
  | CancelRequest
  | EventsRequest
  | LogTailRequest
  | RegisterProgressRequest
  | UnregisterProgressRequest
  | ShutdownRequest;
/**
 * The cause of a failure.
 */
export type ErrorKind =
  "exception" | "timeout" | "worker_died" | "interrupted" | "unserializable_result" | "result_too_large";
/**
 * The events of a subscription: of the client's own executions, or of all.
 */
export type ProgressScope = "own" | "all";
/**
 * How a server stops: after its accepted executions, or after interrupting them.
 */
export type ShutdownMode = "drain" | "now";
export type Reply =
  | PongReply
  | AcceptedReply
  | ExecutionStatusSnapshot
  | OkReply
  | KeptEventsReply
  | LogReply
  | ShutdownAckReply
  | ErrorReply;
/**
 * Status of an execution: ``queued -> running -> complete | failed | cancelled``.
 */
export type ExecutionStatus = "queued" | "running" | "complete" | "failed" | "cancelled";
/**
 * Why a server rejected a request: the ``code`` of an ``error`` reply.
 */
export type ErrorCode =
  | "malformed"
  | "invalid_request"
  | "unknown_type"
  | "unsupported_protocol"
  | "unknown_execution"
  | "conflict"
  | "queue_full"
  | "not_subscribed"
  | "shutting_down"
  | "too_large"
  | "busy"
  | "journal_unavailable"
  | "internal";
export type Event = ProgressEvent | StateEvent;

/**
 * Get the server's readiness and state. Reply: ``pong``.
 */
export interface PingRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "ping";
  /**
   * The maximum number of running and of queued executions in the reply.
   */
  limit?: number;
  /**
   * How long the server holds the reply until it is ready.
   */
  wait_seconds?: number;
}
/**
 * Run a task. Reply: ``accepted``. Idempotent for one ``execution_id``.
 */
export interface ExecuteRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "execute";
  client_id: string;
  /**
   * Chosen by the client, which makes retries idempotent; otherwise assigned by the server.
   */
  execution_id?: string | null;
  /**
   * At most 32: keys of up to 64 characters, values of up to 1,000; 60 KiB of JSON in all.
   */
  labels?: {
    [k: string]: string;
  };
  /**
   * The timeout of each attempt, from its start.
   */
  timeout_seconds?: number | null;
  /**
   * Higher runs first: of all executions, or of this client's under ``fair``.
   */
  priority?: number;
  /**
   * The maximum number of runs, including the first one; null: the server's default.
   */
  max_attempts?: number | null;
  /**
   * The kinds of failure after which it is retried; null: the server's default.
   */
  retry_on?: ErrorKind[] | null;
  /**
   * The delay of the second attempt, doubled for each further one, up to an hour.
   */
  backoff_seconds?: number | null;
  /**
   * How long the server holds the reply until the execution ends; the reply has the record.
   */
  wait_seconds?: number;
  /**
   * Application-defined.
   */
  task: {
    [k: string]: unknown;
  };
  /**
   * Application-defined.
   */
  config?: {
    [k: string]: unknown;
  } | null;
}
/**
 * Get one execution's record, or a page of the queue. Reply: ``snapshot``.
 */
export interface StatusRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "status";
  /**
   * Null: the whole server.
   */
  execution_id?: string | null;
  /**
   * How long the server holds the reply until the execution ends.
   */
  wait_seconds?: number;
  limit?: number;
  /**
   * The ``cursor`` of the previous page.
   */
  cursor?: string | null;
  /**
   * Further executions; the reply has the records that are final by then.
   *
   * @maxItems 64
   */
  also?: string[];
}
/**
 * Cancel one execution, queued or running. Reply: ``ok``.
 */
export interface CancelRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "cancel";
  execution_id: string;
}
/**
 * Replay buffered events of an execution. Reply: ``kept_events``.
 */
export interface EventsRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "events";
  execution_id: string;
  /**
   * Sequence of the client's last event; 0 before the first one.
   */
  after_sequence?: number;
  limit?: number;
}
/**
 * Get the tail of a task's stdout and stderr. Reply: ``log``.
 */
export interface LogTailRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "log_tail";
  execution_id: string;
  /**
   * The maximum length of the tail.
   */
  max_bytes?: number;
}
/**
 * Wait until the client's subscription has reached the server. Reply: ``ok``.
 */
export interface RegisterProgressRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "register_progress";
  client_id: string;
  scope?: ProgressScope;
}
/**
 * Remove a client's registration. Reply: ``ok``.
 */
export interface UnregisterProgressRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "unregister_progress";
  client_id: string;
}
/**
 * Stop the server. Reply: ``shutdown_ack``, before it stops.
 */
export interface ShutdownRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "shutdown";
  mode?: ShutdownMode;
}
/**
 * State of the server. Its cost is independent of the queue's and the history's length.
 */
export interface PongReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "pong";
  status: "ok";
  /**
   * Whether a task submitted now would start without waiting for a worker's start.
   */
  ready: boolean;
  /**
   * The name of the server's class.
   */
  server: string;
  /**
   * The version of the server's distribution.
   */
  version: string;
  port: number;
  control_port: number;
  process: ProcessInfo;
  started_at: number;
  uptime_seconds: number;
  running_executions: RunningExecutionInfo[];
  queued_executions: QueuedExecutionInfo[];
  running_count: number;
  queued_count: number;
  workers: WorkerInfo[];
  /**
   * Why the latest start of a worker failed, at most 2,000 characters; null when a worker is
   * ready.
   */
  worker_error?: string | null;
  /**
   * Registered clients, at most 100.
   */
  progress_subscribers: string[];
  /**
   * The number of registered clients, including those not listed.
   */
  progress_subscriber_count?: number;
  max_message_bytes: number;
  /**
   * Whether accepted executions survive the server's process (journal).
   */
  durable: boolean;
  log_file_path: string | null;
  /**
   * Application-defined.
   */
  details: {
    [k: string]: unknown;
  };
  /**
   * The server's application, so that a client detects a mismatch; null when unknown.
   */
  application?: ApplicationInfo | null;
}
/**
 * Identity of a process: pids are reused, a pid with its creation time is unique.
 */
export interface ProcessInfo {
  pid: number;
  create_time: number;
}
/**
 * A running execution, as an entry of a list.
 */
export interface RunningExecutionInfo {
  execution_id: string;
  client_id: string;
  submitted_at: number;
  started_at: number;
  attempt: number;
  cancel_requested: boolean;
  labels: {
    [k: string]: string;
  };
  progress: ProgressEvent | null;
}
/**
 * A task's progress report. All fields but the common ones are application-defined.
 */
export interface ProgressEvent {
  execution_id: string;
  /**
   * 1, 2, 3 ... within one execution, over both event types; a gap is a lost event.
   */
  sequence: number;
  timestamp: number;
  type: "progress";
  phase: string | null;
  completed: number | null;
  total: number | null;
  /**
   * 0 to 100; null unless ``completed`` and ``total`` are known.
   */
  percent: number | null;
  message: string | null;
  data?: {
    [k: string]: unknown;
  } | null;
}
/**
 * A queued execution, as an entry of a list.
 */
export interface QueuedExecutionInfo {
  execution_id: string;
  client_id: string;
  queue_position: number;
  submitted_at: number;
  labels: {
    [k: string]: string;
  };
}
/**
 * A worker process: its resource usage and its current execution.
 */
export interface WorkerInfo {
  pid: number;
  /**
   * Percent of one core, since the server's previous sample.
   */
  cpu_percent: number | null;
  /**
   * Resident set size.
   */
  memory_bytes: number | null;
  execution_id: string | null;
}
/**
 * The application that a server runs. Digests are opaque: compare them for equality only.
 */
export interface ApplicationInfo {
  /**
   * The server's class, as ``module:Class``.
   */
  class_path: string;
  /**
   * The application's version, or an empty string.
   */
  version: string;
  /**
   * Digest of the application's source files at the server's start.
   */
  code_digest: string | null;
  /**
   * Digest of the launcher's arguments for the server; null without arguments or launcher.
   */
  arguments_digest: string | null;
  /**
   * Digest of the path of the source file of the server's class; null without a file.
   */
  origin_digest: string | null;
}
/**
 * Acceptance of an ``execute``: the server owns the execution from now on.
 */
export interface AcceptedReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "accepted";
  status: "accepted";
  execution_id: string;
  /**
   * 1 is next; null when the execution is no longer queued.
   */
  queue_position: number | null;
  /**
   * Whether the same request was accepted before; nothing was enqueued.
   */
  duplicate: boolean;
  /**
   * The record, when the request had ``wait_seconds``; final unless the wait timed out.
   */
  execution?: ExecutionRecord | null;
}
/**
 * A server's record of one execution, in any status.
 */
export interface ExecutionRecord {
  execution_id: string;
  client_id: string;
  status: ExecutionStatus;
  labels: {
    [k: string]: string;
  };
  attempt: number;
  submitted_at: number;
  started_at: number | null;
  finished_at: number | null;
  /**
   * 1 is next; null unless queued.
   */
  queue_position: number | null;
  /**
   * The task's latest progress report.
   */
  progress: ProgressEvent | null;
  /**
   * The task's return value; null unless complete.
   */
  result: unknown;
  /**
   * Why the execution failed, or why the server cancelled it without a request.
   */
  error: ExecutionErrorInfo | null;
  /**
   * Previous attempts, the oldest first.
   */
  attempts: AttemptInfo[];
  /**
   * When the execution becomes eligible for its retry.
   */
  retry_at: number | null;
  /**
   * Path, on the server's machine, of the task's stdout and stderr; the file is created by
   * the first output.
   */
  log_file_path: string | null;
  /**
   * Whether the unread record was reduced at a hard limit to its status, times and error:
   * labels, progress, result, attempts and log are evicted.
   */
  result_dropped?: boolean;
}
/**
 * The failure of an execution: a message for people, fields for programs.
 */
export interface ExecutionErrorInfo {
  /**
   * Treat an unknown value as `exception`.
   */
  kind: ErrorKind | string;
  /**
   * One sentence.
   */
  message: string;
  /**
   * The exception's class, such as ``ValueError``; null for other kinds.
   */
  type: string | null;
  traceback: string | null;
  /**
   * The worker's exit code; null after a signal.
   */
  exit_code: number | null;
  /**
   * The signal that ended the worker, such as ``SIGSEGV`` (POSIX).
   */
  signal: string | null;
  /**
   * The rejected return value: its ``repr()``, or its JSON when it is too large; truncated in
   * the middle.
   */
  result_repr?: string | null;
}
/**
 * A failed attempt of an execution that was retried.
 */
export interface AttemptInfo {
  attempt: number;
  started_at: number;
  finished_at: number;
  error: ExecutionErrorInfo1;
}
/**
 * The failure of an execution: a message for people, fields for programs.
 */
export interface ExecutionErrorInfo1 {
  /**
   * Treat an unknown value as `exception`.
   */
  kind: ErrorKind | string;
  /**
   * One sentence.
   */
  message: string;
  /**
   * The exception's class, such as ``ValueError``; null for other kinds.
   */
  type: string | null;
  traceback: string | null;
  /**
   * The worker's exit code; null after a signal.
   */
  exit_code: number | null;
  /**
   * The signal that ended the worker, such as ``SIGSEGV`` (POSIX).
   */
  signal: string | null;
  /**
   * The rejected return value: its ``repr()``, or its JSON when it is too large; truncated in
   * the middle.
   */
  result_repr?: string | null;
}
/**
 * One execution, when the request named it; otherwise one page of the server's queue.
 */
export interface ExecutionStatusSnapshot {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "snapshot";
  status: "ok";
  execution: ExecutionRecord | null;
  running_executions?: RunningExecutionInfo[];
  queued_executions?: QueuedExecutionInfo[];
  counts?: {
    [k: string]: number;
  };
  /**
   * The ``cursor`` of the request for the next page; null on the last page.
   */
  cursor?: string | null;
  /**
   * Final records of the further executions in the request, as many as fit.
   */
  also?: ExecutionRecord[];
}
/**
 * Success of a ``cancel``, a ``register_progress`` or an ``unregister_progress``.
 */
export interface OkReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "ok";
  status: "ok";
  client_id: string | null;
  /**
   * Registered clients, at most 100.
   */
  progress_subscribers: string[] | null;
  /**
   * The number of registered clients, including those not listed.
   */
  progress_subscriber_count?: number | null;
  execution_id: string | null;
  /**
   * The status of the cancelled execution; a running one ends later.
   */
  execution_status: ExecutionStatus | null;
}
/**
 * Buffered events of an execution, contiguous and in order.
 *
 * More follow when the last event's sequence is less than ``last_sequence``.
 */
export interface KeptEventsReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "kept_events";
  status: "ok";
  execution_id: string;
  events: (ProgressEvent | StateEvent)[];
  /**
   * Sequence of the oldest buffered event; null when the buffer is empty.
   */
  first_kept_sequence: number | null;
  /**
   * Sequence of the latest event, buffered or evicted.
   */
  last_sequence: number;
}
/**
 * A transition of an execution to ``status``. A terminal one is its last event.
 */
export interface StateEvent {
  execution_id: string;
  /**
   * 1, 2, 3 ... within one execution, over both event types; a gap is a lost event.
   */
  sequence: number;
  timestamp: number;
  type: "state";
  status: ExecutionStatus;
  submitted_at: number;
  started_at: number | null;
  finished_at: number | null;
  error: ExecutionErrorInfo | null;
}
/**
 * Tail of a task's stdout and stderr.
 */
export interface LogReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "log";
  status: "ok";
  execution_id: string;
  /**
   * Decoded as UTF-8; invalid bytes are replaced by U+FFFD.
   */
  text: string;
  /**
   * The length of the whole log.
   */
  size_bytes: number;
}
/**
 * Acknowledgement of a ``shutdown``, sent before the server stops.
 */
export interface ShutdownAckReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "shutdown_ack";
  status: "ok";
  mode: ShutdownMode;
}
/**
 * Rejection of a request: a code for programs and an actionable message for people.
 */
export interface ErrorReply {
  protocol: number;
  /**
   * The ``request_id`` of the request.
   */
  request_id: string | null;
  type: "error";
  status: "error";
  /**
   * Treat an unknown value as `internal`.
   */
  code: ErrorCode | string;
  message: string;
  details: ErrorDetail[];
}
/**
 * An invalid field of the request.
 */
export interface ErrorDetail {
  field: string;
  message: string;
}
