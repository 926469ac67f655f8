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
 * What ended an execution that did not complete.
 */
export type ErrorKind =
  "exception" | "timeout" | "worker_died" | "interrupted" | "unserializable_result" | "result_too_large";
/**
 * Whose events a progress subscriber wants: its own, or everybody's.
 */
export type ProgressScope = "own" | "all";
/**
 * How a server ends: after the work it has accepted, or at once.
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
 * Where an execution is: ``queued -> running -> complete | failed | cancelled``.
 */
export type ExecutionStatus = "queued" | "running" | "complete" | "failed" | "cancelled";
/**
 * Why a server refused a request: the ``code`` of an ``error`` reply.
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
 * Is the server there, is it ready, what does it do? Answered by ``pong``.
 */
export interface PingRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "ping";
  /**
   * How many running and how many queued executions to list.
   */
  limit?: number;
  /**
   * How long to hold the reply while the server is not ready yet.
   */
  wait_seconds?: number;
}
/**
 * Run a task. Answered by ``accepted``; asking again with the same id is safe.
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
   * Named by the client, so that a retry enqueues nothing twice; else the server names it.
   */
  execution_id?: string | null;
  /**
   * At most 32: keys of up to 64 characters, values of up to 1,000; 60 KiB of JSON in all.
   */
  labels?: {
    [k: string]: string;
  };
  /**
   * How long the task may run before the server stops it.
   */
  timeout_seconds?: number | null;
  /**
   * A higher one runs first: of all, or of this client's where clients take turns.
   */
  priority?: number;
  /**
   * How often the task may run, the first time included; None: as the server's default says.
   */
  max_attempts?: number | null;
  /**
   * What it runs again after; None: as the server's default says.
   */
  retry_on?: ErrorKind[] | null;
  /**
   * How long the second attempt waits; each further one waits twice as long, up to an hour.
   */
  backoff_seconds?: number | null;
  /**
   * How long to hold the reply while the execution has not ended; it then has the record.
   */
  wait_seconds?: number;
  /**
   * The application's own.
   */
  task: {
    [k: string]: unknown;
  };
  /**
   * The application's own.
   */
  config?: {
    [k: string]: unknown;
  } | null;
}
/**
 * How is one execution, or the whole queue? Answered by ``snapshot``.
 */
export interface StatusRequest {
  protocol?: number;
  /**
   * Echoed in the reply.
   */
  request_id?: string | null;
  type: "status";
  /**
   * Absent: the whole server.
   */
  execution_id?: string | null;
  /**
   * How long to hold the reply while the execution has not ended.
   */
  wait_seconds?: number;
  limit?: number;
  /**
   * Where the last page ended.
   */
  cursor?: string | null;
  /**
   * Further executions, of which the reply has the records that are final by then.
   *
   * @maxItems 64
   */
  also?: string[];
}
/**
 * Stop one execution, queued or running. Answered by ``ok``.
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
 * Which events did I miss? Answered by ``kept_events``, as far as there are any.
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
   * The number of the last event that is known; 0: none is.
   */
  after_sequence?: number;
  limit?: number;
}
/**
 * What did the task write to its stdout and stderr? Answered by ``log``.
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
   * How much of its end to tell.
   */
  max_bytes?: number;
}
/**
 * Acknowledge my subscription. Answered by ``ok`` once the server has seen it.
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
 * I no longer listen. Answered by ``ok``.
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
 * End the server. Answered by ``shutdown_ack`` before it does.
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
 * The server is there. What this costs does not grow with the queue or with history.
 */
export interface PongReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "pong";
  status: "ok";
  /**
   * Whether a task submitted now would start without waiting for a worker's start-up.
   */
  ready: boolean;
  /**
   * The name of the server's class.
   */
  server: string;
  /**
   * The server's distribution version.
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
   * Why the last start of a worker has failed, at most 2,000 characters; null once one is
   * ready.
   */
  worker_error?: string | null;
  /**
   * Registered clients, up to 100 of them.
   */
  progress_subscribers: string[];
  /**
   * How many clients are registered, listed or not.
   */
  progress_subscriber_count?: number;
  max_message_bytes: number;
  /**
   * Whether what it has accepted outlives its process: a server started again has it.
   */
  durable: boolean;
  log_file_path: string | null;
  /**
   * The application's own.
   */
  details: {
    [k: string]: unknown;
  };
  /**
   * Which application it is, so that a client finds that of another one; null: not known.
   */
  application?: ApplicationInfo | null;
}
/**
 * One process, exactly: a pid alone may have been given to another since.
 */
export interface ProcessInfo {
  pid: number;
  create_time: number;
}
/**
 * One execution that runs now.
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
 * How far a task says it is. Every field but the common ones is the application's.
 */
export interface ProgressEvent {
  execution_id: string;
  /**
   * 1, 2, 3 ... within one execution, over both event types: a gap is a lost event.
   */
  sequence: number;
  timestamp: number;
  type: "progress";
  phase: string | null;
  completed: number | null;
  total: number | null;
  /**
   * 0 to 100, when both ``completed`` and ``total`` are known.
   */
  percent: number | null;
  message: string | null;
  data?: {
    [k: string]: unknown;
  } | null;
}
/**
 * One line of the queue.
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
 * One worker process, what it costs and what it runs.
 */
export interface WorkerInfo {
  pid: number;
  /**
   * Of one core, over the time since the server last looked.
   */
  cpu_percent: number | null;
  /**
   * Resident.
   */
  memory_bytes: number | null;
  execution_id: string | null;
}
/**
 * Which application a server runs. Digests are opaque: compare them for equality only.
 */
export interface ApplicationInfo {
  /**
   * The server's class, as ``module:Class``.
   */
  class_path: string;
  /**
   * The application's own version; empty where it has none.
   */
  version: string;
  /**
   * Of the source files of the application as they were at the server's start.
   */
  code_digest: string | null;
  /**
   * Of what its launcher was given for it; null where that was nothing, or no launcher.
   */
  arguments_digest: string | null;
  /**
   * Of the path of the source file of its class; null where it has none.
   */
  origin_digest: string | null;
}
/**
 * The execution is in the server's care.
 */
export interface AcceptedReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "accepted";
  status: "accepted";
  execution_id: string;
  /**
   * 1 = next; absent when a duplicate is no longer queued.
   */
  queue_position: number | null;
  /**
   * The same request had been accepted before; nothing was enqueued.
   */
  duplicate: boolean;
  /**
   * The record, when the request has asked to wait: final, unless that took too long.
   */
  execution?: ExecutionRecord | null;
}
/**
 * Everything a server keeps of one execution, whatever its state.
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
   * 1 = next; only while queued.
   */
  queue_position: number | null;
  /**
   * The latest that the task reported.
   */
  progress: ProgressEvent | null;
  /**
   * What the task returned; only when complete.
   */
  result: unknown;
  /**
   * Why it failed, or why the server cancelled it unasked.
   */
  error: ExecutionErrorInfo | null;
  /**
   * Those before ``attempt``, the oldest first.
   */
  attempts: AttemptInfo[];
  /**
   * Until when it waits in the queue before it is tried again.
   */
  retry_at: number | null;
  /**
   * Where, on the server's machine, its stdout and stderr go; there is no file before it
   * has written something.
   */
  log_file_path: string | null;
  /**
   * Whether it was dropped unread, at a hard limit, but for its status, its times and its error;
   * labels, progress, result, attempts and log are gone.
   */
  result_dropped?: boolean;
}
/**
 * What went wrong with one execution, in words for a person and fields for a program.
 */
export interface ExecutionErrorInfo {
  /**
   * Read a word that you do not know as `exception`.
   */
  kind: ErrorKind | string;
  /**
   * One sentence.
   */
  message: string;
  /**
   * The exception's class, such as ``ValueError``, when the task raised.
   */
  type: string | null;
  traceback: string | null;
  /**
   * The worker's exit code, when it ended by itself.
   */
  exit_code: number | null;
  /**
   * The signal that ended the worker, such as ``SIGSEGV`` (POSIX).
   */
  signal: string | null;
  /**
   * What the task returned, when it cannot be carried: its ``repr()``, or its JSON when that is
   * too long for a message; of a long one the beginning and the end.
   */
  result_repr?: string | null;
}
/**
 * One run of an execution that failed and was followed by another.
 */
export interface AttemptInfo {
  attempt: number;
  started_at: number;
  finished_at: number;
  error: ExecutionErrorInfo1;
}
/**
 * What went wrong with one execution, in words for a person and fields for a program.
 */
export interface ExecutionErrorInfo1 {
  /**
   * Read a word that you do not know as `exception`.
   */
  kind: ErrorKind | string;
  /**
   * One sentence.
   */
  message: string;
  /**
   * The exception's class, such as ``ValueError``, when the task raised.
   */
  type: string | null;
  traceback: string | null;
  /**
   * The worker's exit code, when it ended by itself.
   */
  exit_code: number | null;
  /**
   * The signal that ended the worker, such as ``SIGSEGV`` (POSIX).
   */
  signal: string | null;
  /**
   * What the task returned, when it cannot be carried: its ``repr()``, or its JSON when that is
   * too long for a message; of a long one the beginning and the end.
   */
  result_repr?: string | null;
}
/**
 * One execution, when the request named it; else the server's queue, page by page.
 */
export interface ExecutionStatusSnapshot {
  protocol: number;
  /**
   * The request's own.
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
   * Ask again with it for the next page; absent on the last one.
   */
  cursor?: string | null;
  /**
   * Final records of the further executions that the request named, as many as fit in.
   */
  also?: ExecutionRecord[];
}
/**
 * Done, in the request's own terms.
 */
export interface OkReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "ok";
  status: "ok";
  client_id: string | null;
  /**
   * Registered clients, up to 100 of them.
   */
  progress_subscribers: string[] | null;
  /**
   * How many clients are registered, listed or not.
   */
  progress_subscriber_count?: number | null;
  execution_id: string | null;
  /**
   * The cancelled execution's status now: a running one ends a moment later.
   */
  execution_status: ExecutionStatus | null;
}
/**
 * Some of an execution's events, in order and without a gap between them.
 *
 * There are more when the last of them is not ``last_sequence``.
 */
export interface KeptEventsReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "kept_events";
  status: "ok";
  execution_id: string;
  events: (ProgressEvent | StateEvent)[];
  /**
   * What comes before it is not kept any more; absent when none is kept.
   */
  first_kept_sequence: number | null;
  /**
   * The number of its latest event, kept or not.
   */
  last_sequence: number;
}
/**
 * An execution moved to ``status``. A terminal one is the last event it ever has.
 */
export interface StateEvent {
  execution_id: string;
  /**
   * 1, 2, 3 ... within one execution, over both event types: a gap is a lost event.
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
 * The end of what a task wrote to its stdout and stderr.
 */
export interface LogReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "log";
  status: "ok";
  execution_id: string;
  /**
   * Read as UTF-8, with a mark for each byte that is none.
   */
  text: string;
  /**
   * Of all that is kept of it.
   */
  size_bytes: number;
}
/**
 * The server ends, in the ``mode`` that was asked.
 */
export interface ShutdownAckReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "shutdown_ack";
  status: "ok";
  mode: ShutdownMode;
}
/**
 * Refused, and why, in a sentence that a person can act on.
 */
export interface ErrorReply {
  protocol: number;
  /**
   * The request's own.
   */
  request_id: string | null;
  type: "error";
  status: "error";
  /**
   * Read a word that you do not know as `internal`.
   */
  code: ErrorCode | string;
  message: string;
  details: ErrorDetail[];
}
/**
 * One field of the request that was at fault.
 */
export interface ErrorDetail {
  field: string;
  message: string;
}
