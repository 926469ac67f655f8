// A server that does as the test says: it speaks on real sockets and has no execution of its own.

import { Router, XPublisher } from "zeromq";

import type { Reply, Request } from "../src/index.js";

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
  readonly #data = new XPublisher({ linger: 0, verbosity: null } as object);

  static async start(): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    await server.#control.bind("tcp://127.0.0.1:*");
    await server.#data.bind("tcp://127.0.0.1:*");
    return server;
  }

  get addresses(): { controlAddress: string; dataAddress: string } {
    const [controlAddress, dataAddress] = [this.#control.lastEndpoint, this.#data.lastEndpoint];
    return { controlAddress: String(controlAddress), dataAddress: String(dataAddress) };
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
    const [frame] = await this.#data.receive();
    return String(frame?.subarray(1));
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

  close(): void {
    this.#control.close();
    this.#data.close();
  }
}
