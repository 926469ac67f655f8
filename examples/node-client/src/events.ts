// The data channel: one subscription, and a stream for each execution that somebody follows.
import { Subscriber } from "zeromq";

import type { Event } from "./messages.js";
import { type Check, decodeEvent } from "./wire.js";

export class EventFeed {
  readonly #socket = new Subscriber({ linger: 0 });
  readonly #streams = new Map<string, ReadableStreamDefaultController<Event>>();
  readonly #check: Check | undefined;
  readonly #done: Promise<void>;

  /** Subscribe; `onReconnect` is called when a connection that was lost is there again. */
  constructor(address: string, prefix: string, onReconnect: () => void, check?: Check) {
    this.#check = check;
    let wasLost = false;
    this.#socket.events.on("disconnect", () => (wasLost = true));
    this.#socket.events.on("handshake", () => {
      if (wasLost) onReconnect();
    });
    this.#socket.subscribe(prefix);
    this.#socket.connect(address);
    this.#done = this.#read();
  }

  /** Return the events of one execution from now on: open it before the execution is submitted. */
  open(executionId: string): ReadableStream<Event> {
    return new ReadableStream<Event>({
      start: (stream) => void this.#streams.set(executionId, stream),
      cancel: () => void this.#streams.delete(executionId),
    });
  }

  /** End a stream, after what it holds; or at once, with an error. */
  end(executionId: string, error?: unknown): void {
    const stream = this.#streams.get(executionId);
    this.#streams.delete(executionId);
    if (error === undefined) stream?.close();
    else stream?.error(error);
  }

  /** End every stream with an error. */
  fail(error: unknown): void {
    for (const executionId of [...this.#streams.keys()]) this.end(executionId, error);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.#done;
    for (const executionId of [...this.#streams.keys()]) this.end(executionId);
  }

  async #read(): Promise<void> {
    for await (const frames of this.#socket) {
      try {
        const event = decodeEvent(frames, this.#check);
        this.#streams.get(event.execution_id)?.enqueue(event);
      } catch (error) {
        this.fail(error);
      }
    }
  }
}
