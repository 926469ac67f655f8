// Encoding and decoding of frames. Unknown fields are ignored, so that servers can add fields.
import { BadMessage } from "./errors.js";
import type { Event, ExecutionStatus, Reply, Request } from "./messages.js";

/** Called with each raw message; throws if it is invalid. */
export type Check = (kind: "reply" | "event", message: unknown) => void;

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function encode(request: Request): string {
  return JSON.stringify(request);
}

/** Decode the reply to a request. */
export function decodeReply(frames: Uint8Array[], requestId: string, check?: Check): Reply {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1) {
    throw new BadMessage(`invalid reply: ${frames.length} frames instead of 1`);
  }
  const message = decodeObject(frame, "reply");
  check?.("reply", message);
  // A server that cannot decode a request does not have its id.
  if (message["request_id"] !== requestId && message["code"] !== "malformed") {
    throw new BadMessage(`invalid reply: request_id ${String(message["request_id"])} instead of ${requestId}`);
  }
  return message as unknown as Reply;
}

/** Decode a message of the data channel. */
export function decodeEvent(frames: Uint8Array[], check?: Check): Event {
  const [topic, frame] = frames;
  if (topic === undefined || frame === undefined || frames.length !== 2) {
    throw new BadMessage(`invalid event: ${frames.length} frames instead of 2`);
  }
  const message = decodeObject(frame, "event");
  check?.("event", message);
  if (typeof message["sequence"] !== "number" || typeof message["execution_id"] !== "string") {
    throw new BadMessage("invalid event: no sequence or no execution_id");
  }
  return message as unknown as Event;
}

export function isTerminal(status: ExecutionStatus): boolean {
  return status === "complete" || status === "failed" || status === "cancelled";
}

function decodeObject(frame: Uint8Array, kind: string): Record<string, unknown> {
  let message: unknown;
  try {
    message = JSON.parse(utf8.decode(frame));
  } catch (error) {
    throw new BadMessage(`invalid ${kind}: not JSON: ${String(error)}`);
  }
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw new BadMessage(`invalid ${kind}: not a JSON object`);
  }
  if (typeof (message as { type?: unknown }).type !== "string") {
    throw new BadMessage(`invalid ${kind}: no type`);
  }
  return message as Record<string, unknown>;
}
