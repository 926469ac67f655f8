// A server that does as the test says: it speaks on real sockets and has no execution of its own.

import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

import { Router, XPublisher } from "zeromq";

import type { Reply, Request } from "../src/index.js";

const LINGER_SECONDS = 30;

/** One request as it arrived: on which connection, and in which envelope to answer. */
export interface Asked {
  peer: string;
  request: Request & Record<string, unknown>;
  /** Answer with these fields beside those of every reply. */
  reply(fields: { type: Reply["type"]; [field: string]: unknown }): Promise<void>;
  /** Answer with this. */
  replyRaw(...frames: (string | Buffer)[]): Promise<void>;
}

export class ScriptedServer {
  readonly #control = new Router({ linger: 0 });
  readonly #data = new XPublisher({ linger: 0, verbosity: "allSubsUnsubs" });
  // Subscribers come by this way, so that their connections can be cut.
  readonly #way = createServer((subscriber) => this.#carry(subscriber));
  readonly #connections = new Set<Socket>();

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await server.#control.bind("tcp://127.0.0.1:*");
    await server.#data.bind("tcp://127.0.0.1:*");
    server.#way.listen(0, "127.0.0.1");
    await once(server.#way, "listening");
    return server;
  }

  get addresses(): { controlAddress: string; dataAddress: string } {
    const { port } = this.#way.address() as AddressInfo;
    const controlAddress = String(this.#control.lastEndpoint);
    return { controlAddress, dataAddress: `tcp://127.0.0.1:${port}` };
  }

  async asked(): Promise<Asked> {
    const [peer, , frame] = await this.#control.receive();
    const request = JSON.parse(String(frame)) as Asked["request"];
    const replyRaw = (...frames: (string | Buffer)[]) => {
      return this.#control.send([peer as Buffer, "", ...frames]);
    };
    const reply = (fields: object) => {
      const usual = { status: "ok", protocol: 1, request_id: request.request_id };
      return replyRaw(JSON.stringify({ ...usual, ...fields }));
    };
    return { peer: String(peer), request, reply, replyRaw };
  }

  /** What the next subscriber wants: a prefix. */
  async subscribed(): Promise<string> {
    for (;;) {
      const [frame] = await this.#data.receive();
      if (frame?.[0] === 1) return String(frame.subarray(1));
    }
  }

  /** Take the subscription and acknowledge its registration. */
  async register(): Promise<string> {
    const prefix = await this.subscribed();
    const asked = await this.asked();
    await asked.reply({ type: "ok", client_id: asked.request["client_id"] as string });
    return prefix;
  }

  /** Take a task and return what names it. */
  async accept(): Promise<Request & { type: "execute" }> {
    const { request, reply } = await this.asked();
    const execution_id = String(request["execution_id"]);
    await reply({ type: "accepted", status: "accepted", execution_id });
    return request as Request & { type: "execute" };
  }

  async publish(topic: string, event: object): Promise<void> {
    await this.#data.send([topic, JSON.stringify(event)]);
  }

  /** Cut the connections of the data channel; subscribers find it again. */
  cut(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  /** Leave, as a server that ends: what it has said by then arrives. */
  leave(): void {
    this.#control.linger = LINGER_SECONDS * 1000;
    this.close();
  }

  close(): void {
    this.#way.close();
    this.cut();
    this.#control.close();
    this.#data.close();
  }

  #carry(subscriber: Socket): void {
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
