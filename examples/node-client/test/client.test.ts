import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Client, type Execution, NotCompleted, Rejected } from "../src/index.js";
import { ScriptedServer } from "./scripted-server.js";

const record = { execution_id: "x", client_id: "me", status: "running", submitted_at: 1 };

let server: ScriptedServer;
let client: Client;

beforeEach(async () => {
  server = await ScriptedServer.start();
  client = new Client({ ...server.addresses, clientId: "me", timeoutSeconds: 20 });
});

afterEach(async () => {
  await client.close();
  server.close();
});

async function submit(): Promise<Execution> {
  const execution = client.submit({ do: "it" }, { execution_id: "x" });
  await server.register();
  await server.accept();
  return execution;
}

function publish(sequence: number, fields: object = {}): Promise<void> {
  const common = { execution_id: "x", sequence, timestamp: 1 };
  return server.publish("me/x", { type: "progress", ...common, ...fields });
}

function publishState(sequence: number, status: string): Promise<void> {
  return publish(sequence, { type: "state", status, submitted_at: 1 });
}

async function sequences(execution: Execution): Promise<number[]> {
  const seen = [];
  for await (const event of execution.events()) seen.push(event.sequence);
  return seen;
}

test("a task is submitted after the registration is acknowledged", async () => {
  const execution = client.submit({ do: "it" }, { labels: { who: "me" } });
  assert.equal(await server.subscribed(), "me/");
  const registration = await server.nextRequest();
  assert.equal(registration.request.type, "register_progress");
  assert.equal(registration.request["client_id"], "me");
  await registration.reply({ type: "ok" });
  const request = await server.accept();
  assert.deepEqual(request.task, { do: "it" });
  assert.deepEqual(request.labels, { who: "me" });
  assert.equal((await execution).id, request.execution_id);
});

async function rejectRegistration(): Promise<void> {
  const received = await server.nextRequest();
  assert.equal(received.request.type, "register_progress");
  await received.reply({ type: "error", status: "error", code: "not_subscribed", message: "later" });
}

test("concurrent submissions share one registration", async () => {
  const submitted = [client.submit({ do: "it" }), client.submit({ do: "it" })];
  const refusals = submitted.map((execution) => assert.rejects(execution, /not_subscribed/));
  await rejectRegistration();
  await Promise.all(refusals);
});

test("a submission after a rejected registration registers again", async () => {
  const refusal = assert.rejects(client.submit({ do: "it" }), /not_subscribed/);
  await rejectRegistration();
  await refusal;
  const execution = client.submit({ do: "it" }, { execution_id: "x" });
  const { request, reply } = await server.nextRequest();
  assert.equal(request.type, "register_progress");
  await reply({ type: "ok" });
  await server.accept();
  assert.equal((await execution).id, "x");
});

test("the stream has all events in order up to the terminal one", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await publishState(1, "running");
  await publish(2);
  await publish(3);
  await publishState(4, "complete");
  assert.deepEqual(await seen, [1, 2, 3, 4]);
  assert.equal(execution.missed, 0);
});

test("lost events are counted and duplicates dropped", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  for (const sequence of [1, 2, 2, 5, 4]) await publish(sequence);
  await publishState(6, "failed");
  assert.deepEqual(await seen, [1, 2, 5, 6]);
  assert.equal(execution.missed, 2);
});

test("a lost terminal event does not block the stream", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await publish(1);
  await (await server.nextRequest()).reply({
    type: "snapshot",
    execution: { ...record, status: "complete" },
  });
  assert.deepEqual(await seen, [1]);
});

test("the stream of an unknown execution ends with the rejection", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  const received = await server.nextRequest();
  await received.reply({ type: "error", status: "error", code: "unknown_execution", message: "gone" });
  await assert.rejects(seen, Rejected);
});

test("an invalid event ends the streams with an error", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await server.publish("me/x", ["no event"]);
  await assert.rejects(seen, /invalid event: not a JSON object/);
});

test("the result is returned when the execution has ended", async () => {
  const result = (await submit()).result();
  const received = await server.nextRequest();
  assert.equal(received.request["execution_id"], "x");
  assert(Number(received.request["wait_seconds"]) > 0);
  await received.reply({ type: "snapshot", execution: record }); // The hold timed out.
  const again = await server.nextRequest();
  const execution = { ...record, status: "complete", result: { baked: 5 } };
  await again.reply({ type: "snapshot", execution });
  assert.deepEqual(await result, { baked: 5 });
});

test("the result of a failed execution is an error with its reason", async () => {
  const result = (await submit()).result();
  const error = { kind: "exception", message: "no flour" };
  const received = await server.nextRequest();
  await received.reply({ type: "snapshot", execution: { ...record, status: "failed", error } });
  await assert.rejects(result, (caught) => {
    assert(caught instanceof NotCompleted);
    assert.equal(caught.message, "execution x is failed: no flour");
    assert.equal(caught.record.error?.kind, "exception");
    return true;
  });
});

test("a cancel has the execution's id", async () => {
  const execution = await submit();
  const status = execution.cancel();
  const received = await server.nextRequest();
  assert.equal(received.request.type, "cancel");
  assert.equal(received.request["execution_id"], "x");
  await received.reply({ type: "ok", execution_id: "x", execution_status: "running" });
  assert.equal(await status, "running");
});

test("a rejected task is an error of its submission", async () => {
  const submitted = client.submit({ do: "it" }, { execution_id: "x" });
  await server.register();
  const received = await server.nextRequest();
  await received.reply({ type: "error", status: "error", code: "queue_full", message: "later" });
  await assert.rejects(submitted, /queue_full/);
});

test("the client registers again after a lost connection", async () => {
  const events = (await submit()).events();
  const first = events.next();
  assert.equal((await server.nextRequest()).request.type, "status"); // Held.
  await publish(1);
  assert.equal((await first).value?.sequence, 1);

  server.cut();
  const last = events.next();
  assert.equal(await server.subscribed(), "me/");
  const again = await server.nextRequest();
  assert.equal(again.request.type, "register_progress");
  await again.reply({ type: "ok" });
  await publishState(2, "complete");
  assert.equal((await last).value?.sequence, 2);
  assert.equal((await events.next()).done, true);
});

test("unregister sends unregister_progress", async () => {
  const registered = client.register();
  await server.register();
  await registered;
  const gone = client.unregister();
  const received = await server.nextRequest();
  assert.equal(received.request.type, "unregister_progress");
  await received.reply({ type: "ok" });
  await gone;
});

test("shutdown sends its mode", async () => {
  const ended = client.shutdown("now");
  const received = await server.nextRequest();
  assert.equal(received.request["mode"], "now");
  await received.reply({ type: "shutdown_ack", mode: "now" });
  await ended;
});
