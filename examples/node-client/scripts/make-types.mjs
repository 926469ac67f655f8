// node scripts/make-types.mjs [--check] DIRECTORY
//
// Writes src/messages.ts from the JSON Schemas in a directory; with --check, it only says whether
// the file is what it would write.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { compile } from "json-schema-to-typescript";

const TARGET = fileURLToPath(new URL("../src/messages.ts", import.meta.url));
const BANNER = "// Made by `npm run types` from the JSON Schemas of zmqruntime-messages. Do not edit.";
const UNIONS = { Request: "request.json", Reply: "reply.json", Event: "event.json" };

/** Leave out what would only give every field a named type of its own. */
function plain(schema, isField = false) {
  if (Array.isArray(schema)) return schema.map((part) => plain(part));
  if (typeof schema !== "object" || schema === null) return schema;
  const { default: _default, ...rest } = schema;
  if (isField) delete rest.title;
  const entries = Object.entries(rest).map(([key, value]) => {
    if (key !== "properties" && key !== "$defs") return [key, plain(value)];
    const named = Object.entries(value).map(([name, part]) => [name, plain(part, key === "properties")]);
    return [key, Object.fromEntries(named)];
  });
  const result = Object.fromEntries(entries);
  const says = Object.keys(result).filter((key) => key !== "description" && key !== "title");
  return isField && says.length === 0 ? { ...result, tsType: "unknown" } : result;
}

/** One schema of all messages, so that what requests, replies and events share is declared once. */
function combine(directory) {
  const definitions = {};
  for (const [name, file] of Object.entries(UNIONS)) {
    const { $schema, title, $defs, ...union } = JSON.parse(readFileSync(join(directory, file), "utf8"));
    Object.assign(definitions, $defs, { [name]: union });
  }
  const references = Object.keys(UNIONS).map((name) => ({ $ref: `#/$defs/${name}` }));
  return plain({ title: "Message", anyOf: references, $defs: definitions });
}

const { values, positionals } = parseArgs({
  options: { check: { type: "boolean", default: false } },
  allowPositionals: true,
});
if (positionals.length !== 1) {
  console.error("usage: npm run types -- [--check] DIRECTORY");
  process.exit(2);
}
const made = await compile(combine(positionals[0]), "Message", {
  additionalProperties: false,
  bannerComment: BANNER,
  ignoreMinAndMaxItems: true, // Else a list of up to 32 is a union of 33 tuples.
});
if (!values.check) {
  writeFileSync(TARGET, made);
} else if (made !== readFileSync(TARGET, "utf8")) {
  console.error(`src/messages.ts is not what the schemas say: npm run types -- ${positionals[0]}`);
  process.exit(1);
}
