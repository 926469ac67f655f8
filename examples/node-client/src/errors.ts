// Errors, each with an actionable message.
import type { ErrorReply, ExecutionRecord } from "./messages.js";

export class PeerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** No reply in time. The request may have been executed. */
export class NoReply extends PeerError {}

/** A message that violates the protocol. */
export class BadMessage extends PeerError {}

/** An error reply of the server. */
export class Rejected extends PeerError {
  readonly code: string;
  readonly details: NonNullable<ErrorReply["details"]>;

  constructor(reply: ErrorReply) {
    super(`${reply.message} (${reply.code})`);
    this.code = reply.code;
    this.details = reply.details ?? [];
  }
}

/** The execution has ended without a result. */
export class NotCompleted extends PeerError {
  readonly record: ExecutionRecord;

  constructor(record: ExecutionRecord) {
    const reason = record.error ? `: ${record.error.message}` : "";
    super(`execution ${record.execution_id} is ${record.status}${reason}`);
    this.record = record;
  }
}
