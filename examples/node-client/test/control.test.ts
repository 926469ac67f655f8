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

function impatient(tries: number, timeoutSeconds = 0.3): ControlChannel {
  channel.close();
  channel = new ControlChannel(server.addresses.controlAddress, { timeoutSeconds, tries });
  return channel;
}

test("a request has the protocol's version and an id, and gets its reply", async () => {
  const reply = channel.ask({ type: "ping" }, "pong");
  const asked = await server.asked();
  assert.equal(asked.request.protocol, 1);
  assert.match(String(asked.request.request_id), /^[0-9a-f-]{36}$/);
  await asked.reply(pong);
  assert.equal((await reply).ready, true);
});

test("a request whose reply is lost is sent again, the same, from a fresh socket", async () => {
  const reply = impatient(2, 2).ask({ type: "ping" }, "pong");
  const first = await server.asked();
  const second = await server.asked();
  assert.notEqual(second.peer, first.peer);
  assert.deepEqual(second.request, first.request);
  await second.reply(pong);
  assert.equal((await reply).type, "pong");
});

test("a socket that got its reply is used again", async () => {
  const peers = [];
  for (let n = 0; n < 2; n++) {
    const reply = channel.request({ type: "ping" });
    const asked = await server.asked();
    peers.push(asked.peer);
    await asked.reply(pong);
    await reply;
  }
  assert.equal(peers[0], peers[1]);
});

test("a held request keeps no other one waiting", async () => {
  const held = channel.ask({ type: "status", execution_id: "x", wait_seconds: 20 }, "snapshot", 20);
  const first = await server.asked();
  const reply = channel.ask({ type: "ping" }, "pong");
  await (await server.asked()).reply(pong);
  await reply;
  await first.reply({ type: "snapshot" });
  await held;
});

test("a server that never answers is told of in a sentence", async () => {
  await assert.rejects(impatient(2).request({ type: "ping" }), (error) => {
    assert(error instanceof NoReply);
    assert.match(error.message, /asked 2 times/);
    return true;
  });
});

test("a server that is not there is told of in a sentence", async () => {
  const gone = impatient(2);
  server.close();
  await assert.rejects(gone.request({ type: "ping" }), NoReply);
});

test("a server that goes away while it holds a request is missed at once", async () => {
  const held = impatient(2).request({ type: "ping", wait_seconds: 60 }, 60);
  await server.asked();
  server.close();
  await assert.rejects(held, NoReply); // Long before the minute is over.
});

/** Be as slow as on a busy machine: see nothing of the world for a while. */
function stall(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

test("a reply is read also when its server was gone before anybody looked", async () => {
  const reply = channel.ask({ type: "shutdown", mode: "now" }, "shutdown_ack");
  await (await server.asked()).reply({ type: "shutdown_ack", mode: "now" });
  server.leave();
  stall(200);
  assert.equal((await reply).mode, "now");
});

test("a socket whose server has gone is not used again", async () => {
  const reply = impatient(1, 2).request({ type: "ping" });
  await (await server.asked()).reply(pong);
  await reply;
  server.leave();
  stall(200);
  for (let turn = 0; turn < 2; turn++) await setImmediate(); // Now it knows.
  await assert.rejects(channel.request({ type: "ping" }), NoReply);
});

test("a refusal has its code, its sentence and the fields at fault", async () => {
  const reply = channel.ask({ type: "cancel", execution_id: "x" }, "ok");
  const details = [{ field: "execution_id", message: "is no name" }];
  const message = "give it a name";
  const asked = await server.asked();
  await asked.reply({ type: "error", status: "error", code: "invalid_request", message, details });
  await assert.rejects(reply, (error) => {
    assert(error instanceof Rejected);
    assert.equal(error.code, "invalid_request");
    assert.equal(error.message, "give it a name (invalid_request)");
    assert.deepEqual(error.details, details);
    return true;
  });
});

test("a reply of another kind is not taken for the answer", async () => {
  const reply = channel.ask({ type: "ping" }, "pong");
  await (await server.asked()).reply({ type: "ok" });
  await assert.rejects(reply, /answered ping with ok/);
});

test("a reply to another request is not taken for the answer", async () => {
  const reply = channel.request({ type: "ping" });
  await (await server.asked()).reply({ ...pong, request_id: "another" });
  await assert.rejects(reply, BadMessage);
});

// A reply that is good as it stands, to whichever request.
const good = JSON.stringify({ type: "error", status: "error", code: "malformed", message: "?" });

const garbage: [string, (string | Buffer)[]][] = [
  ["no JSON", ["{"]],
  ["no object", ["[]"]],
  ["null", ["null"]],
  ["an object of no type", ["{}"]],
  ["not UTF-8", [Buffer.from(good.replace("?", "\xff"), "latin1")]],
  ["two frames", [good, good]],
];
for (const [what, frames] of garbage) {
  test(`a reply that is ${what} is told of, and the next request is answered`, async () => {
    const reply = channel.request({ type: "ping" });
    await (await server.asked()).replyRaw(...frames);
    await assert.rejects(reply, BadMessage);

    const next = channel.request({ type: "ping" });
    await (await server.asked()).reply(pong);
    assert.equal((await next).type, "pong");
  });
}

test("a server that could not read the request is believed, though it names none", async () => {
  const reply = channel.ask({ type: "ping" }, "pong");
  await (await server.asked()).replyRaw(good);
  await assert.rejects(reply, Rejected);
});

test("a closed channel ends what is under way, and takes no more", async () => {
  const reply = channel.request({ type: "ping" });
  await server.asked();
  channel.close();
  await assert.rejects(reply, PeerError);
  await assert.rejects(channel.request({ type: "ping" }), /closed/);
});
