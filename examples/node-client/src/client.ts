// A client of a zmqruntime server: one method for each request, and a stream of events.
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
  /** The client's name; reuse it to continue as the same client. */
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
  // The pending or completed registration; undefined after a rejection.
  #registered: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    this.clientId = options.clientId ?? `node-${randomUUID()}`;
    this.#options = options;
    this.#control = new ControlChannel(options.controlAddress, options);
  }

  /** Get the server's state. With `waitSeconds` the reply is held until the server is ready. */
  ping(waitSeconds = 0): Promise<PongReply> {
    return this.#control.call({ type: "ping", wait_seconds: waitSeconds }, "pong", waitSeconds);
  }

  /** Subscribe, and wait for the acknowledgement: no later event is missed. */
  async register(): Promise<void> {
    this.#feed ??= new EventFeed(
      this.#options.dataAddress,
      `${this.clientId}/`,
      () => void this.#acknowledge().catch((error: unknown) => this.#feed?.fail(error)),
      this.#options.check,
    );
    await (this.#registered ?? this.#acknowledge());
  }

  /** Submit a task. Idempotent for the same `execution_id` and content. */
  async submit(task: Task, options: SubmitOptions = {}): Promise<Execution> {
    await this.register();
    if (this.#feed === undefined) throw new PeerError("the client was closed");
    const id = options.execution_id ?? randomUUID();
    const execution = new Execution(this, this.#feed, id);
    const content = { task, client_id: this.clientId, ...options, execution_id: id };
    try {
      await this.#control.call({ type: "execute", ...content }, "accepted");
    } catch (error) {
      this.#feed.end(id);
      throw error;
    }
    return execution;
  }

  /** Get one execution. With `waitSeconds` the reply is held until it ends. */
  async status(executionId: string, waitSeconds = 0): Promise<ExecutionRecord> {
    const { execution } = await this.#control.call(
      { type: "status", execution_id: executionId, wait_seconds: waitSeconds },
      "snapshot",
      waitSeconds,
    );
    if (!execution) throw new PeerError(`the snapshot of ${executionId} has no execution`);
    return execution;
  }

  /** Get all running executions, and the first page of the queue. */
  queue(): Promise<ExecutionStatusSnapshot> {
    return this.#control.call({ type: "status" }, "snapshot");
  }

  /** Cancel one execution; return its status. */
  async cancel(executionId: string): Promise<ExecutionStatus> {
    const reply = await this.#control.call({ type: "cancel", execution_id: executionId }, "ok");
    if (!reply.execution_status) throw new PeerError("the ok to a cancel has no execution_status");
    return reply.execution_status;
  }

  /** Stop the server: after its accepted executions (`drain`), or immediately (`now`). */
  async shutdown(mode: ShutdownMode = "drain"): Promise<void> {
    await this.#control.call({ type: "shutdown", mode }, "shutdown_ack");
  }

  /** Unsubscribe and unregister. */
  async unregister(): Promise<void> {
    const feed = this.#feed;
    this.#feed = this.#registered = undefined;
    if (feed === undefined) return;
    try {
      await this.#control.call({ type: "unregister_progress", client_id: this.clientId }, "ok");
    } finally {
      await feed.close();
    }
  }

  /** Close the sockets; the server drops the subscription. */
  async close(): Promise<void> {
    this.#control.close();
    await this.#feed?.close();
    this.#feed = this.#registered = undefined;
  }

  async #acknowledge(): Promise<void> {
    const request = { type: "register_progress", client_id: this.clientId } as const;
    const registered = this.#control.call(request, "ok").then(() => undefined);
    this.#registered = registered;
    try {
      await registered;
    } catch (error) {
      if (this.#registered === registered) this.#registered = undefined;
      throw error;
    }
  }
}
