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

test("it subscribes, has that acknowledged, and only then submits", async () => {
  const execution = client.submit({ do: "it" }, { labels: { who: "me" } });
  assert.equal(await server.subscribed(), "me/");
  const registration = await server.asked();
  assert.equal(registration.request.type, "register_progress");
  assert.equal(registration.request["client_id"], "me");
  await registration.reply({ type: "ok" });
  const request = await server.accept();
  assert.deepEqual(request.task, { do: "it" });
  assert.deepEqual(request.labels, { who: "me" });
  assert.equal((await execution).id, request.execution_id);
});

async function refuse(): Promise<void> {
  const asked = await server.asked();
  assert.equal(asked.request.type, "register_progress");
  await asked.reply({ type: "error", status: "error", code: "not_subscribed", message: "later" });
}

test("tasks that are submitted at once wait for the one registration", async () => {
  const submitted = [client.submit({ do: "it" }), client.submit({ do: "it" })];
  const refusals = submitted.map((execution) => assert.rejects(execution, /not_subscribed/));
  await refuse();
  await Promise.all(refusals);
});

test("after a registration that was refused the next task asks for another", async () => {
  const refusal = assert.rejects(client.submit({ do: "it" }), /not_subscribed/);
  await refuse();
  await refusal;
  const execution = client.submit({ do: "it" }, { execution_id: "x" });
  const { request, reply } = await server.asked();
  assert.equal(request.type, "register_progress");
  await reply({ type: "ok" });
  await server.accept();
  assert.equal((await execution).id, "x");
});

test("every event arrives in order, to the terminal one", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await publishState(1, "running");
  await publish(2);
  await publish(3);
  await publishState(4, "complete");
  assert.deepEqual(await seen, [1, 2, 3, 4]);
  assert.equal(execution.missed, 0);
});

test("lost events are counted, doubled ones dropped, and the stream goes on", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  for (const sequence of [1, 2, 2, 5, 4]) await publish(sequence);
  await publishState(6, "failed");
  assert.deepEqual(await seen, [1, 2, 5, 6]);
  assert.equal(execution.missed, 2);
});

test("a last event that is lost does not keep its reader waiting", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await publish(1);
  await (await server.asked()).reply({
    type: "snapshot",
    execution: { ...record, status: "complete" },
  });
  assert.deepEqual(await seen, [1]);
});

test("a server that forgot the execution ends its stream with its refusal", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  const asked = await server.asked();
  await asked.reply({ type: "error", status: "error", code: "unknown_execution", message: "gone" });
  await assert.rejects(seen, Rejected);
});

test("an event that cannot be read ends the streams, and says so", async () => {
  const execution = await submit();
  const seen = sequences(execution);
  await server.publish("me/x", ["no event"]);
  await assert.rejects(seen, /event is no JSON object/);
});

test("the result comes when the execution has ended", async () => {
  const result = (await submit()).result();
  const asked = await server.asked();
  assert.equal(asked.request["execution_id"], "x");
  assert(Number(asked.request["wait_seconds"]) > 0);
  await asked.reply({ type: "snapshot", execution: record }); // Its wait was over.
  const again = await server.asked();
  const execution = { ...record, status: "complete", result: { baked: 5 } };
  await again.reply({ type: "snapshot", execution });
  assert.deepEqual(await result, { baked: 5 });
});

test("what failed has no result, but a reason", async () => {
  const result = (await submit()).result();
  const error = { kind: "exception", message: "no flour" };
  const asked = await server.asked();
  await asked.reply({ type: "snapshot", execution: { ...record, status: "failed", error } });
  await assert.rejects(result, (caught) => {
    assert(caught instanceof NotCompleted);
    assert.equal(caught.message, "execution x is failed: no flour");
    assert.equal(caught.record.error?.kind, "exception");
    return true;
  });
});

test("a cancel names one execution", async () => {
  const execution = await submit();
  const status = execution.cancel();
  const asked = await server.asked();
  assert.equal(asked.request.type, "cancel");
  assert.equal(asked.request["execution_id"], "x");
  await asked.reply({ type: "ok", execution_id: "x", execution_status: "running" });
  assert.equal(await status, "running");
});

test("a task that is refused is told of", async () => {
  const submitted = client.submit({ do: "it" }, { execution_id: "x" });
  await server.register();
  const asked = await server.asked();
  await asked.reply({ type: "error", status: "error", code: "queue_full", message: "later" });
  await assert.rejects(submitted, /queue_full/);
});

test("after a lost connection it registers again, and the events go on", async () => {
  const events = (await submit()).events();
  const first = events.next();
  assert.equal((await server.asked()).request.type, "status"); // It is held.
  await publish(1);
  assert.equal((await first).value?.sequence, 1);

  server.cut();
  const last = events.next();
  assert.equal(await server.subscribed(), "me/");
  const again = await server.asked();
  assert.equal(again.request.type, "register_progress");
  await again.reply({ type: "ok" });
  await publishState(2, "complete");
  assert.equal((await last).value?.sequence, 2);
  assert.equal((await events.next()).done, true);
});

test("it takes its leave", async () => {
  const registered = client.register();
  await server.register();
  await registered;
  const gone = client.unregister();
  const asked = await server.asked();
  assert.equal(asked.request.type, "unregister_progress");
  await asked.reply({ type: "ok" });
  await gone;
});

test("it ends a server in the way that it is told", async () => {
  const ended = client.shutdown("now");
  const asked = await server.asked();
  assert.equal(asked.request["mode"], "now");
  await asked.reply({ type: "shutdown_ack", mode: "now" });
  await ended;
});
