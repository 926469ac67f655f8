import assert from "node:assert/strict";
import { test } from "node:test";

import { drawBar, drawLine, printable, printableJson } from "../src/bar.js";
import type { ProgressEvent, StateEvent } from "../src/index.js";

const common = { execution_id: "x", sequence: 1, timestamp: 0 };
const nothing = { phase: null, completed: null, total: null, percent: null, message: null };
const progress: ProgressEvent = { type: "progress", ...common, ...nothing };
const failed: StateEvent = {
  type: "state",
  ...common,
  status: "failed",
  submitted_at: 0,
  started_at: 0,
  finished_at: 0,
  error: {
    kind: "exception",
    message: "no\u001b[31m",
    type: null,
    traceback: null,
    exit_code: null,
    signal: null,
  },
};

test("a bar is empty, half and full", () => {
  assert.equal(drawBar(0), "[------------------------]   0 %");
  assert.equal(drawBar(50), "[############------------]  50 %");
  assert.equal(drawBar(100), "[########################] 100 %");
});

test("a bar of a percentage out of range is clipped", () => {
  assert.equal(drawBar(-5), drawBar(0));
  assert.equal(drawBar(250), drawBar(100));
});

test("an indeterminate bar has the same width", () => {
  assert.equal(drawBar(null).length, drawBar(50).length);
});

test("a line has the phase and the message, truncated to the columns", () => {
  const event = { ...progress, percent: 50, phase: "stitch", message: "tile 5" };
  assert.equal(drawLine(event, 80), `${drawBar(50)}  stitch  tile 5`);
  const short = drawLine(event, 40);
  assert.equal(short.length, 40);
  assert(short.endsWith("…"));
});

test("control characters in a report are replaced", () => {
  const line = drawLine({ ...progress, percent: 0, message: "a\u001b[2J\r\nb" }, 80);
  assert(line.endsWith("a [2J  b"));
  assert.equal(drawLine(failed, 80), "failed: no [31m");
  assert.equal(printable("a\u009bb\u2028c\u202ed"), "a b c d");
});

test("control characters in a printed result are escaped", () => {
  const value = { a: "\u001b\u009b\u2028\u202e\u{e0041}Grüße 🙂", b: [null, 1.5] };
  const text = printableJson(value);
  assert.doesNotMatch(text, /[\p{C}\p{Zl}\p{Zp}]/u);
  assert.match(text, /Grüße 🙂/u);
  assert.deepEqual(JSON.parse(text), value);
});
