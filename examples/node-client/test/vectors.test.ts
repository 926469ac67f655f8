// The golden vectors of the contract: valid messages are accepted, invalid ones rejected.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { BadMessage, checkBySchemas } from "../src/index.js";
import { decodeEvent, decodeReply } from "../src/wire.js";

// The repository, relative to dist/test.
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const CONTRACT = join(ROOT, "packages/zmqruntime-messages/src/zmqruntime/messages/contract");

interface Vector {
  name: string;
  message?: object;
  text?: string;
  base64?: string;
  schema_may_accept?: boolean;
}

const check = checkBySchemas(join(CONTRACT, "schema"));

function frameOf({ message, text, base64 }: Vector): Buffer {
  if (base64 !== undefined) return Buffer.from(base64, "base64");
  return Buffer.from(text ?? JSON.stringify(message));
}

/** The request_id of a reply, so that no vector is rejected for another one. */
function requestOf(frame: Buffer): string {
  try {
    return (JSON.parse(String(frame)) as { request_id: string }).request_id;
  } catch {
    return "none";
  }
}

const read = {
  reply(vector: Vector): object {
    const frame = frameOf(vector);
    return decodeReply([frame], requestOf(frame), check);
  },
  event(vector: Vector): object {
    return decodeEvent([Buffer.from("me/x"), frameOf(vector)], check);
  },
};

for (const kind of ["reply", "event"] as const) {
  const directory = join(CONTRACT, "vectors", kind);
  for (const file of readdirSync(directory)) {
    const { valid, invalid } = JSON.parse(readFileSync(join(directory, file), "utf8")) as {
      valid: Vector[];
      invalid: Vector[];
    };
    test(`${kind}/${file}: valid messages are accepted`, () => {
      for (const vector of valid) {
        assert.doesNotThrow(() => read[kind](vector), `${vector.name} is refused`);
      }
    });
    test(`${kind}/${file}: invalid messages are rejected`, () => {
      for (const vector of invalid.filter((vector) => !vector.schema_may_accept)) {
        assert.throws(() => read[kind](vector), BadMessage, `${vector.name} is taken`);
      }
    });
  }
}
