// A server scripted by the tests: real sockets, no executions.

import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

import { Router, XPublisher } from "zeromq";

import type { Reply, Request } from "../src/index.js";

const LINGER_SECONDS = 30;

/** A received request, with its connection and functions to reply. */
export interface ReceivedRequest {
  peer: string;
  request: Request & Record<string, unknown>;
  /** Reply with these fields and the common ones. */
  reply(fields: { type: Reply["type"]; [field: string]: unknown }): Promise<void>;
  /** Reply with these frames. */
  replyRaw(...frames: (string | Buffer)[]): Promise<void>;
}

export class ScriptedServer {
  readonly #control = new Router({ linger: 0 });
  readonly #data = new XPublisher({ linger: 0, verbosity: "allSubsUnsubs" });
  // A proxy of the data channel, so that connections can be cut.
  readonly #proxy = createServer((subscriber) => this.#forward(subscriber));
  readonly #connections = new Set<Socket>();

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await server.#control.bind("tcp://127.0.0.1:*");
    await server.#data.bind("tcp://127.0.0.1:*");
    server.#proxy.listen(0, "127.0.0.1");
    await once(server.#proxy, "listening");
    return server;
  }

  get addresses(): { controlAddress: string; dataAddress: string } {
    const { port } = this.#proxy.address() as AddressInfo;
    const controlAddress = String(this.#control.lastEndpoint);
    return { controlAddress, dataAddress: `tcp://127.0.0.1:${port}` };
  }

  async nextRequest(): Promise<ReceivedRequest> {
    const [peer, , frame] = await this.#control.receive();
    const request = JSON.parse(String(frame)) as ReceivedRequest["request"];
    const replyRaw = (...frames: (string | Buffer)[]) => {
      return this.#control.send([peer as Buffer, "", ...frames]);
    };
    const reply = (fields: object) => {
      const common = { status: "ok", protocol: 1, request_id: request.request_id };
      return replyRaw(JSON.stringify({ ...common, ...fields }));
    };
    return { peer: String(peer), request, reply, replyRaw };
  }

  /** Return the prefix of the next subscription. */
  async subscribed(): Promise<string> {
    for (;;) {
      const [frame] = await this.#data.receive();
      if (frame?.[0] === 1) return String(frame.subarray(1));
    }
  }

  /** Receive a subscription and acknowledge its registration. */
  async register(): Promise<string> {
    const prefix = await this.subscribed();
    const received = await this.nextRequest();
    await received.reply({ type: "ok", client_id: received.request["client_id"] as string });
    return prefix;
  }

  /** Accept an `execute` and return it. */
  async accept(): Promise<Request & { type: "execute" }> {
    const { request, reply } = await this.nextRequest();
    const execution_id = String(request["execution_id"]);
    await reply({ type: "accepted", status: "accepted", execution_id });
    return request as Request & { type: "execute" };
  }

  async publish(topic: string, event: object): Promise<void> {
    await this.#data.send([topic, JSON.stringify(event)]);
  }

  /** Cut the connections of the data channel; subscribers reconnect. */
  cut(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  /** Close like a server that stops: sent replies are delivered. */
  stop(): void {
    this.#control.linger = LINGER_SECONDS * 1000;
    this.close();
  }

  close(): void {
    this.#proxy.close();
    this.cut();
    this.#control.close();
    this.#data.close();
  }

  #forward(subscriber: Socket): void {
    const publisher = connect(Number(String(this.#data.lastEndpoint).split(":").at(-1)), "127.0.0.1");
    for (const [one, other] of [
      [subscriber, publisher],
      [publisher, subscriber],
    ] as const) {
      this.#connections.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#connections.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }
}
