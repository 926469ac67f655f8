#!/usr/bin/env node
// The command line: node dist/src/main.js COMMAND [OPTIONS]. Results on stdout, the rest on stderr.
import { parseArgs } from "node:util";

import { drawLine, printable, printableJson } from "./bar.js";
import { Client, type ClientOptions, type Task } from "./client.js";
import { PeerError } from "./errors.js";
import { checkBySchemas } from "./schema-check.js";

const USAGE = `usage: zmqruntime-node COMMAND [OPTIONS]

  ping                    print the server's state
  submit TASK             run a task, a JSON object, and show its progress; Ctrl-C cancels it
  status [EXECUTION]      print one execution, or the queue
  cancel EXECUTION        cancel an execution
  shutdown                stop the server after its accepted executions; with --now, immediately

  --control ADDRESS       default: tcp://127.0.0.1:8777
  --data ADDRESS          default: tcp://127.0.0.1:7777
  --client-id NAME        the client's name; default: a new one
  --execution-id NAME     the execution's name; default: a new one
  --timeout SECONDS       timeout of a reply; default: 5
  --tries N               maximum number of attempts; default: 3
  --schemas DIRECTORY     validate replies and events by the JSON Schemas there`;

const OPTIONS = {
  control: { type: "string", default: "tcp://127.0.0.1:8777" },
  data: { type: "string", default: "tcp://127.0.0.1:7777" },
  "client-id": { type: "string" },
  "execution-id": { type: "string" },
  timeout: { type: "string", default: "5" },
  tries: { type: "string", default: "3" },
  schemas: { type: "string" },
  now: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

class UsageError extends Error {}

type Values = ReturnType<typeof parse>["values"];

function parse() {
  return parseArgs({ options: OPTIONS, allowPositionals: true });
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`invalid --${name} ${text}: use a number above 0`);
  return value;
}

function makeClient(values: Values): Client {
  const options: ClientOptions = {
    controlAddress: values.control,
    dataAddress: values.data,
    timeoutSeconds: positive("timeout", values.timeout),
    tries: positive("tries", values.tries),
  };
  if (values["client-id"] !== undefined) options.clientId = values["client-id"];
  if (values.schemas !== undefined) options.check = checkBySchemas(values.schemas);
  return new Client(options);
}

function parseTask(text: string): Task {
  let task: unknown;
  try {
    task = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`TASK is not JSON: ${(error as Error).message}`);
  }
  if (typeof task !== "object" || task === null || Array.isArray(task)) {
    throw new UsageError("TASK is not a JSON object");
  }
  return task as Task;
}

function print(value: unknown): void {
  process.stdout.write(`${printableJson(value)}\n`);
}

/** Rewrite one line on a terminal; otherwise write one line for each event. */
function show(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[2K${line}` : `${line}\n`);
}

async function submit(client: Client, task: Task, values: Values): Promise<void> {
  const id = values["execution-id"];
  const execution = await client.submit(task, id === undefined ? {} : { execution_id: id });
  process.once("SIGINT", () => {
    show("cancelling ...");
    execution.cancel().catch((error: unknown) => show(printable(String(error))));
  });
  for await (const event of execution.events()) show(drawLine(event, process.stderr.columns || 120));
  if (process.stderr.isTTY) process.stderr.write("\n");
  if (execution.missed > 0) process.stderr.write(`${execution.missed} events were lost\n`);
  print(await execution.result());
  await client.unregister();
}

async function run(command: string, rest: string[], values: Values): Promise<void> {
  const [argument] = rest;
  const argumentCounts = { ping: [0, 0], submit: [1, 1], status: [0, 1], cancel: [1, 1], shutdown: [0, 0] }[command];
  if (argumentCounts === undefined) throw new UsageError(`unknown command ${command}: use --help`);
  const [minimum = 0, maximum = 0] = argumentCounts;
  if (rest.length < minimum || rest.length > maximum) throw new UsageError(`${command}: ${USAGE}`);
  const task = command === "submit" ? parseTask(String(argument)) : {};

  const client = makeClient(values);
  try {
    if (command === "ping") print(await client.ping());
    else if (command === "submit") await submit(client, task, values);
    else if (command === "status") print(await (argument ? client.status(argument) : client.queue()));
    else if (command === "cancel") print(await client.cancel(String(argument)));
    else await client.shutdown(values.now ? "now" : "drain");
  } finally {
    await client.close();
  }
}

async function main(): Promise<number> {
  try {
    const { values, positionals } = parse();
    const [command, ...rest] = positionals;
    if (values.help || command === undefined) {
      process.stderr.write(`${USAGE}\n`);
      return values.help ? 0 : 2;
    }
    await run(command, rest, values);
    return 0;
  } catch (error) {
    if (error instanceof PeerError) {
      process.stderr.write(`${printable(error.message)}\n`);
      return 1;
    }
    const isUsage = error instanceof UsageError || (error instanceof TypeError && "code" in error);
    if (!isUsage) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
}

process.exitCode = await main();
