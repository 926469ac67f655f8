// The control channel: request and reply, with retries.
//
// A REQ socket whose reply was lost cannot send again, so it is closed, and the request is retried on
// a fresh socket (Lazy Pirate pattern of the ZeroMQ guide). All requests of the protocol are
// idempotent.
import { randomUUID } from "node:crypto";

import { Request as RequestSocket } from "zeromq";

import { NoReply, PeerError, Rejected } from "./errors.js";
import type { Reply, Request } from "./messages.js";
import { type Check, decodeReply, encode } from "./wire.js";

export interface ControlOptions {
  /** Timeout of a reply, in addition to the time for which the server holds it. */
  timeoutSeconds?: number;
  /** Maximum number of attempts, each after the first on a fresh socket. */
  tries?: number;
  /** Validates every reply. */
  check?: Check | undefined;
}

export class ControlChannel {
  readonly #address: string;
  readonly #timeoutSeconds: number;
  readonly #tries: number;
  readonly #check: Check | undefined;
  // A REQ socket has one outstanding request; a held one must not delay others.
  #idle: RequestSocket[] = [];
  readonly #busy = new Set<RequestSocket>();
  #closed = false;

  constructor(address: string, { timeoutSeconds = 5, tries = 3, check }: ControlOptions = {}) {
    this.#address = address;
    this.#timeoutSeconds = timeoutSeconds;
    this.#tries = tries;
    this.#check = check;
  }

  /** Send a request and return its reply of the expected type. */
  async call<T extends Reply["type"]>(
    request: Request,
    expected: T,
    holdSeconds = 0,
  ): Promise<Extract<Reply, { type: T }>> {
    const reply = await this.request(request, holdSeconds);
    if (reply.type === "error") throw new Rejected(reply);
    if (reply.type !== expected) {
      throw new PeerError(`unexpected reply to ${request.type}: ${reply.type}`);
    }
    return reply as Extract<Reply, { type: T }>;
  }

  /** Send a request and return its reply of any type. */
  async request(request: Request, holdSeconds = 0): Promise<Reply> {
    const requestId = request.request_id ?? randomUUID();
    const frame = encode({ ...request, protocol: 1, request_id: requestId });
    for (let attempt = 0; attempt < this.#tries; attempt++) {
      const frames = await this.#try(frame, holdSeconds);
      if (this.#closed) throw new PeerError("the client was closed during the request");
      if (frames !== undefined) return decodeReply(frames, requestId, this.#check);
    }
    throw new NoReply(
      `no reply from ${this.#address} after ${this.#tries} attempts: start the server there`,
    );
  }

  close(): void {
    this.#closed = true;
    for (const socket of [...this.#idle, ...this.#busy]) socket.close();
    this.#idle = [];
  }

  /** Return the frames of the reply, or undefined after the timeout. */
  async #try(frame: string, holdSeconds: number): Promise<Uint8Array[] | undefined> {
    if (this.#closed) return undefined;
    this.#idle = this.#idle.filter((idle) => !idle.closed); // Closed when its connection was lost.
    const socket = this.#idle.pop() ?? this.#open();
    socket.receiveTimeout = (this.#timeoutSeconds + holdSeconds) * 1000;
    this.#busy.add(socket);
    try {
      await socket.send(frame);
      const frames = await socket.receive();
      this.#idle.push(socket);
      return frames;
    } catch (error) {
      socket.close();
      if (this.#closed || isTimeout(error)) return undefined;
      throw error;
    } finally {
      this.#busy.delete(socket);
    }
  }

  #open(): RequestSocket {
    // Without `immediate`: with it, libzmq drops unread replies when their connection is closed.
    const socket = new RequestSocket({ linger: 0 });
    // Without a connection, a request waits in the socket until this timeout.
    const connectTimeout = setTimeout(() => socket.close(), this.#timeoutSeconds * 1000).unref();
    socket.events.on("handshake", () => clearTimeout(connectTimeout));
    // Requests on a lost connection get no reply.
    socket.events.on("disconnect", () => socket.close());
    socket.connect(this.#address);
    return socket;
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "EAGAIN";
}
