// The data channel: one subscription, and a stream for each followed execution.
import { Subscriber } from "zeromq";

import type { Event } from "./messages.js";
import { type Check, decodeEvent } from "./wire.js";

export class EventFeed {
  readonly #socket = new Subscriber({ linger: 0 });
  readonly #streams = new Map<string, ReadableStreamDefaultController<Event>>();
  readonly #check: Check | undefined;
  readonly #done: Promise<void>;

  /** Subscribe; `onReconnect` is called after a lost connection is re-established. */
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

  /** Return the stream of one execution's events. Open it before submitting the execution. */
  open(executionId: string): ReadableStream<Event> {
    return new ReadableStream<Event>({
      start: (stream) => void this.#streams.set(executionId, stream),
      cancel: () => void this.#streams.delete(executionId),
    });
  }

  /** End a stream after its buffered events, or immediately with an error. */
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
