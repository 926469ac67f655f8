// A submitted execution: its events, its cancel, its result.
import { setTimeout } from "node:timers/promises";

import type { Client } from "./client.js";
import { NotCompleted } from "./errors.js";
import type { EventFeed } from "./events.js";
import type { Event, ExecutionRecord, ExecutionStatus } from "./messages.js";
import { isTerminal } from "./wire.js";

const HOLD_SECONDS = 30;
// The final event arrives on the other socket at about the same time as the reply, or is lost.
const LAST_EVENT_SECONDS = 2;

export class Execution {
  readonly id: string;
  /** The number of lost events. */
  missed = 0;
  readonly #client: Client;
  readonly #feed: EventFeed;
  readonly #stream: ReadableStream<Event>;

  /** Created before the task is submitted, so that its first event is not missed. */
  constructor(client: Client, feed: EventFeed, id: string) {
    this.#client = client;
    this.#feed = feed;
    this.#stream = feed.open(id);
    this.id = id;
  }

  status(waitSeconds = 0): Promise<ExecutionRecord> {
    return this.#client.status(this.id, waitSeconds);
  }

  cancel(): Promise<ExecutionStatus> {
    return this.#client.cancel(this.id);
  }

  /** Wait for the end in any terminal status. */
  async ended(): Promise<ExecutionRecord> {
    for (;;) {
      const record = await this.status(HOLD_SECONDS);
      if (isTerminal(record.status)) return record;
    }
  }

  /** Wait for the end and return the task's result. */
  async result(): Promise<unknown> {
    const record = await this.ended();
    if (record.status !== "complete") throw new NotCompleted(record);
    return record.result ?? null;
  }

  /**
   * All received events up to the terminal one. To be iterated once.
   *
   * Events may be lost: a held status request ends the stream when the terminal event was lost, and
   * detects a lost server.
   */
  async *events(): AsyncGenerator<Event> {
    void this.#endTheStream();
    let last = 0;
    for await (const event of this.#stream) {
      if (event.sequence <= last) continue;
      this.missed += event.sequence - last - 1;
      last = event.sequence;
      yield event;
      if (event.type === "state" && isTerminal(event.status)) return;
    }
  }

  async #endTheStream(): Promise<void> {
    try {
      await this.ended();
      await setTimeout(LAST_EVENT_SECONDS * 1000, undefined, { ref: false });
      this.#feed.end(this.id);
    } catch (error) {
      this.#feed.end(this.id, error);
    }
  }
}
