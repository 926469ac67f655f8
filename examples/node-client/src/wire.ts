// Between frames and messages. What a frame holds beyond the protocol is ignored, so that servers
// can grow.
import { BadMessage } from "./errors.js";
import type { Event, ExecutionStatus, Reply, Request } from "./messages.js";

/** Called with each message as it came; throws when it finds something wrong with it. */
export type Check = (kind: "reply" | "event", message: unknown) => void;

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function encode(request: Request): string {
  return JSON.stringify(request);
}

/** Read the reply to a request. */
export function decodeReply(frames: Uint8Array[], requestId: string, check?: Check): Reply {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1) {
    throw new BadMessage(`a reply is one frame, and this one had ${frames.length}`);
  }
  const message = decodeObject(frame, "reply");
  check?.("reply", message);
  // A server that cannot read a request cannot know its id, either.
  if (message["request_id"] !== requestId && message["code"] !== "malformed") {
    throw new BadMessage(`the reply is to ${String(message["request_id"])}, not to ${requestId}`);
  }
  return message as unknown as Reply;
}

/** Read what was published on the data channel. */
export function decodeEvent(frames: Uint8Array[], check?: Check): Event {
  const [topic, frame] = frames;
  if (topic === undefined || frame === undefined || frames.length !== 2) {
    throw new BadMessage(`an event is two frames, and this one had ${frames.length}`);
  }
  const message = decodeObject(frame, "event");
  check?.("event", message);
  if (typeof message["sequence"] !== "number" || typeof message["execution_id"] !== "string") {
    throw new BadMessage("an event has no sequence, or no execution_id");
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
    throw new BadMessage(`the server's ${kind} is no JSON: ${String(error)}`);
  }
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw new BadMessage(`the server's ${kind} is no JSON object`);
  }
  if (typeof (message as { type?: unknown }).type !== "string") {
    throw new BadMessage(`the server's ${kind} has no type`);
  }
  return message as Record<string, unknown>;
}
