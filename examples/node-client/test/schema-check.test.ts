import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { BadMessage, checkBySchemas } from "../src/index.js";

let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), "schemas-"));
  const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
  writeFileSync(join(directory, "reply.json"), JSON.stringify(schema));
  writeFileSync(join(directory, "event.json"), JSON.stringify({ ...schema, required: [] }));
});

after(() => rmSync(directory, { recursive: true }));

test("a message that matches its schema is accepted", () => {
  const check = checkBySchemas(directory);
  check("reply", { n: 1 });
  check("event", {});
});

test("a message that does not match its schema is rejected with the field", () => {
  const check = checkBySchemas(directory);
  assert.throws(() => check("reply", {}), BadMessage);
  assert.throws(() => check("event", { n: "1" }), /event\/n must be integer; it was {"n":"1"}/);
});
