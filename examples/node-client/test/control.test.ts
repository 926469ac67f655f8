import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { ControlChannel } from "../src/control.js";
import { BadMessage, NoReply, PeerError, Rejected } from "../src/errors.js";
import { ScriptedServer } from "./scripted-server.js";

const pong = { type: "pong" as const, ready: true };

let server: ScriptedServer;
let channel: ControlChannel;

beforeEach(async () => {
  server = await ScriptedServer.start();
  channel = new ControlChannel(server.addresses.controlAddress, { timeoutSeconds: 20, tries: 2 });
});

afterEach(() => {
  channel.close();
  server.close();
});

function withTimeout(tries: number, timeoutSeconds = 0.3): ControlChannel {
  channel.close();
  channel = new ControlChannel(server.addresses.controlAddress, { timeoutSeconds, tries });
  return channel;
}

test("a request has the protocol version and an id", async () => {
  const reply = channel.call({ type: "ping" }, "pong");
  const received = await server.nextRequest();
  assert.equal(received.request.protocol, 1);
  assert.match(String(received.request.request_id), /^[0-9a-f-]{36}$/);
  await received.reply(pong);
  assert.equal((await reply).ready, true);
});

test("a request whose reply is lost is retried unchanged on a fresh socket", async () => {
  const reply = withTimeout(2, 2).call({ type: "ping" }, "pong");
  const first = await server.nextRequest();
  const second = await server.nextRequest();
  assert.notEqual(second.peer, first.peer);
  assert.deepEqual(second.request, first.request);
  await second.reply(pong);
  assert.equal((await reply).type, "pong");
});

test("a socket is reused after its reply", async () => {
  const peers = [];
  for (let n = 0; n < 2; n++) {
    const reply = channel.request({ type: "ping" });
    const received = await server.nextRequest();
    peers.push(received.peer);
    await received.reply(pong);
    await reply;
  }
  assert.equal(peers[0], peers[1]);
});

test("a held request does not delay others", async () => {
  const held = channel.call({ type: "status", execution_id: "x", wait_seconds: 20 }, "snapshot", 20);
  const first = await server.nextRequest();
  const reply = channel.call({ type: "ping" }, "pong");
  await (await server.nextRequest()).reply(pong);
  await reply;
  await first.reply({ type: "snapshot" });
  await held;
});

test("an unresponsive server is reported with the number of attempts", async () => {
  await assert.rejects(withTimeout(2).request({ type: "ping" }), (error) => {
    assert(error instanceof NoReply);
    assert.match(error.message, /after 2 attempts/);
    return true;
  });
});

test("a missing server is reported", async () => {
  const gone = withTimeout(2);
  server.close();
  await assert.rejects(gone.request({ type: "ping" }), NoReply);
});

test("a server that stops during a held request is detected immediately", async () => {
  const held = withTimeout(2).request({ type: "ping", wait_seconds: 60 }, 60);
  await server.nextRequest();
  server.close();
  await assert.rejects(held, NoReply); // Long before the 60 s.
});

/** Block the event loop, as on a busy machine. */
function stall(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

test("a reply is read after its server has stopped", async () => {
  const reply = channel.call({ type: "shutdown", mode: "now" }, "shutdown_ack");
  await (await server.nextRequest()).reply({ type: "shutdown_ack", mode: "now" });
  server.stop();
  stall(200);
  assert.equal((await reply).mode, "now");
});

test("a socket whose server has stopped is not reused", async () => {
  const reply = withTimeout(1, 2).request({ type: "ping" });
  await (await server.nextRequest()).reply(pong);
  await reply;
  server.stop();
  stall(200);
  for (let turn = 0; turn < 2; turn++) await setImmediate(); // Process the disconnect.
  await assert.rejects(channel.request({ type: "ping" }), NoReply);
});

test("a rejection has its code, its message and the invalid fields", async () => {
  const reply = channel.call({ type: "cancel", execution_id: "x" }, "ok");
  const details = [{ field: "execution_id", message: "is not a name" }];
  const message = "give it a name";
  const received = await server.nextRequest();
  await received.reply({ type: "error", status: "error", code: "invalid_request", message, details });
  await assert.rejects(reply, (error) => {
    assert(error instanceof Rejected);
    assert.equal(error.code, "invalid_request");
    assert.equal(error.message, "give it a name (invalid_request)");
    assert.deepEqual(error.details, details);
    return true;
  });
});

test("a reply of an unexpected type is an error", async () => {
  const reply = channel.call({ type: "ping" }, "pong");
  await (await server.nextRequest()).reply({ type: "ok" });
  await assert.rejects(reply, /unexpected reply to ping: ok/);
});

test("a reply to another request is an error", async () => {
  const reply = channel.request({ type: "ping" });
  await (await server.nextRequest()).reply({ ...pong, request_id: "another" });
  await assert.rejects(reply, BadMessage);
});

// A valid reply to any request.
const valid = JSON.stringify({ type: "error", status: "error", code: "malformed", message: "?" });

const garbage: [string, (string | Buffer)[]][] = [
  ["not JSON", ["{"]],
  ["not an object", ["[]"]],
  ["null", ["null"]],
  ["an object without a type", ["{}"]],
  ["not UTF-8", [Buffer.from(valid.replace("?", "\xff"), "latin1")]],
  ["two frames", [valid, valid]],
];
for (const [what, frames] of garbage) {
  test(`a reply that is ${what} is an error of its request only`, async () => {
    const reply = channel.request({ type: "ping" });
    await (await server.nextRequest()).replyRaw(...frames);
    await assert.rejects(reply, BadMessage);

    const next = channel.request({ type: "ping" });
    await (await server.nextRequest()).reply(pong);
    assert.equal((await next).type, "pong");
  });
}

test("a malformed reply without a request_id is accepted", async () => {
  const reply = channel.call({ type: "ping" }, "pong");
  await (await server.nextRequest()).replyRaw(valid);
  await assert.rejects(reply, Rejected);
});

test("a closed channel rejects outstanding and new requests", async () => {
  const reply = channel.request({ type: "ping" });
  await server.nextRequest();
  channel.close();
  await assert.rejects(reply, PeerError);
  await assert.rejects(channel.request({ type: "ping" }), /closed/);
});
