// The control channel: one request, one reply, and a fresh socket when the reply does not come.
//
// A REQ socket that has lost its reply can never ask again, so it is closed and the same request
// goes out on another one (the Lazy Pirate pattern of the ZeroMQ guide). That is safe: every
// request of the protocol may be sent twice.
import { randomUUID } from "node:crypto";

import { Request as RequestSocket } from "zeromq";

import { NoReply, PeerError, Rejected } from "./errors.js";
import type { Reply, Request } from "./messages.js";
import { type Check, decodeReply, encode } from "./wire.js";

export interface ControlOptions {
  /** How long a reply may take, beside the time for which the server was asked to hold it. */
  timeoutSeconds?: number;
  /** How often to ask, each time on a fresh socket. */
  tries?: number;
  /** Looks at every reply. */
  check?: Check | undefined;
}

export class ControlChannel {
  readonly #address: string;
  readonly #timeoutSeconds: number;
  readonly #tries: number;
  readonly #check: Check | undefined;
  // A REQ socket has one request under way. A held one must not keep others waiting.
  #idle: RequestSocket[] = [];
  readonly #busy = new Set<RequestSocket>();
  #closed = false;

  constructor(address: string, { timeoutSeconds = 5, tries = 3, check }: ControlOptions = {}) {
    this.#address = address;
    this.#timeoutSeconds = timeoutSeconds;
    this.#tries = tries;
    this.#check = check;
  }

  /** Ask, and return the reply of the type that is expected. */
  async ask<T extends Reply["type"]>(
    request: Request,
    expected: T,
    holdSeconds = 0,
  ): Promise<Extract<Reply, { type: T }>> {
    const reply = await this.request(request, holdSeconds);
    if (reply.type === "error") throw new Rejected(reply);
    if (reply.type !== expected) {
      throw new PeerError(`the server answered ${request.type} with ${reply.type}`);
    }
    return reply as Extract<Reply, { type: T }>;
  }

  /** Ask, and return the reply, whichever it is. */
  async request(request: Request, holdSeconds = 0): Promise<Reply> {
    const requestId = request.request_id ?? randomUUID();
    const frame = encode({ ...request, protocol: 1, request_id: requestId });
    for (let attempt = 0; attempt < this.#tries; attempt++) {
      const frames = await this.#try(frame, holdSeconds);
      if (this.#closed) throw new PeerError("the client was closed while it waited");
      if (frames !== undefined) return decodeReply(frames, requestId, this.#check);
    }
    throw new NoReply(
      `no server answered at ${this.#address}, asked ${this.#tries} times: is it running there?`,
    );
  }

  close(): void {
    this.#closed = true;
    for (const socket of [...this.#idle, ...this.#busy]) socket.close();
    this.#idle = [];
  }

  /** Return the frames of the reply, or nothing when none came in time. */
  async #try(frame: string, holdSeconds: number): Promise<Uint8Array[] | undefined> {
    if (this.#closed) return undefined;
    this.#idle = this.#idle.filter((idle) => !idle.closed); // The server may have gone meanwhile.
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
    // Not with `immediate`: libzmq would throw away a reply that has come and was not read yet when
    // the connection ends behind it. `close` hands it over.
    const socket = new RequestSocket({ linger: 0 });
    // Without a connection a request waits here, for as long as a reply may take, and no longer.
    const impatience = setTimeout(() => socket.close(), this.#timeoutSeconds * 1000).unref();
    socket.events.on("handshake", () => clearTimeout(impatience));
    // What was asked on a connection that is lost is not answered any more.
    socket.events.on("disconnect", () => socket.close());
    socket.connect(this.#address);
    return socket;
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === "EAGAIN";
}
