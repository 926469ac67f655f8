// A client of a zmqruntime server: both channels, and the requests by name.
import { randomUUID } from "node:crypto";

import { ControlChannel, type ControlOptions } from "./control.js";
import { PeerError } from "./errors.js";
import { EventFeed } from "./events.js";
import { Execution } from "./execution.js";
import type {
  ExecuteRequest,
  ExecutionRecord,
  ExecutionStatus,
  ExecutionStatusSnapshot,
  PongReply,
  ShutdownMode,
} from "./messages.js";

export interface ClientOptions extends ControlOptions {
  /** Such as `tcp://127.0.0.1:8777`. */
  controlAddress: string;
  /** Such as `tcp://127.0.0.1:7777`. */
  dataAddress: string;
  /** Who submits. Reuse a name to be the same client again. */
  clientId?: string;
}

export type Task = ExecuteRequest["task"];
export type SubmitOptions = Pick<
  ExecuteRequest,
  "config" | "execution_id" | "labels" | "timeout_seconds"
>;

export class Client {
  readonly clientId: string;
  readonly #control: ControlChannel;
  readonly #options: ClientOptions;
  #feed: EventFeed | undefined;
  // The latest acknowledgement, under way or there; none when it was refused.
  #registered: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    this.clientId = options.clientId ?? `node-${randomUUID()}`;
    this.#options = options;
    this.#control = new ControlChannel(options.controlAddress, options);
  }

  /** Is the server there? With `waitSeconds` it answers as soon as it is ready. */
  ping(waitSeconds = 0): Promise<PongReply> {
    return this.#control.ask({ type: "ping", wait_seconds: waitSeconds }, "pong", waitSeconds);
  }

  /** Subscribe, and have the server acknowledge that: from then on no event is missed. */
  async register(): Promise<void> {
    this.#feed ??= new EventFeed(
      this.#options.dataAddress,
      `${this.clientId}/`,
      () => void this.#acknowledge().catch((error: unknown) => this.#feed?.fail(error)),
      this.#options.check,
    );
    await (this.#registered ?? this.#acknowledge());
  }

  /** Hand over a task. Submitting again with the same `execution_id` and content is safe. */
  async submit(task: Task, options: SubmitOptions = {}): Promise<Execution> {
    await this.register();
    if (this.#feed === undefined) throw new PeerError("the client was closed");
    const id = options.execution_id ?? randomUUID();
    const execution = new Execution(this, this.#feed, id);
    const content = { task, client_id: this.clientId, ...options, execution_id: id };
    try {
      await this.#control.ask({ type: "execute", ...content }, "accepted");
    } catch (error) {
      this.#feed.end(id);
      throw error;
    }
    return execution;
  }

  /** One execution. With `waitSeconds` the server answers as soon as it has ended. */
  async status(executionId: string, waitSeconds = 0): Promise<ExecutionRecord> {
    const { execution } = await this.#control.ask(
      { type: "status", execution_id: executionId, wait_seconds: waitSeconds },
      "snapshot",
      waitSeconds,
    );
    if (!execution) throw new PeerError(`the snapshot of ${executionId} has no execution`);
    return execution;
  }

  /** The whole server: what runs, and the first page of what is queued. */
  queue(): Promise<ExecutionStatusSnapshot> {
    return this.#control.ask({ type: "status" }, "snapshot");
  }

  /** Stop one execution and no other; its status now. */
  async cancel(executionId: string): Promise<ExecutionStatus> {
    const reply = await this.#control.ask({ type: "cancel", execution_id: executionId }, "ok");
    if (!reply.execution_status) throw new PeerError("the ok to a cancel has no execution_status");
    return reply.execution_status;
  }

  /** End the server: after the work it has accepted (`drain`), or at once (`now`). */
  async shutdown(mode: ShutdownMode = "drain"): Promise<void> {
    await this.#control.ask({ type: "shutdown", mode }, "shutdown_ack");
  }

  /** No longer listen. */
  async unregister(): Promise<void> {
    const feed = this.#feed;
    this.#feed = this.#registered = undefined;
    if (feed === undefined) return;
    try {
      await this.#control.ask({ type: "unregister_progress", client_id: this.clientId }, "ok");
    } finally {
      await feed.close();
    }
  }

  /** Close the sockets. The server sees the subscription go. */
  async close(): Promise<void> {
    this.#control.close();
    await this.#feed?.close();
    this.#feed = this.#registered = undefined;
  }

  async #acknowledge(): Promise<void> {
    const request = { type: "register_progress", client_id: this.clientId } as const;
    const registered = this.#control.ask(request, "ok").then(() => undefined);
    this.#registered = registered;
    try {
      await registered;
    } catch (error) {
      if (this.#registered === registered) this.#registered = undefined;
      throw error;
    }
  }
}
