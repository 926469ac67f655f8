// What can go wrong, each in a sentence that a person can act on.
import type { ErrorReply, ExecutionRecord } from "./messages.js";

export class PeerError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** The server did not answer. What was asked may have been done. */
export class NoReply extends PeerError {}

/** What came is not what the protocol says. */
export class BadMessage extends PeerError {}

/** The server said no, and why. */
export class Rejected extends PeerError {
  readonly code: string;
  readonly details: NonNullable<ErrorReply["details"]>;

  constructor(reply: ErrorReply) {
    super(`${reply.message} (${reply.code})`);
    this.code = reply.code;
    this.details = reply.details ?? [];
  }
}

/** The execution has ended, and there is no result. */
export class NotCompleted extends PeerError {
  readonly record: ExecutionRecord;

  constructor(record: ExecutionRecord) {
    const why = record.error ? `: ${record.error.message}` : "";
    super(`execution ${record.execution_id} is ${record.status}${why}`);
    this.record = record;
  }
}
