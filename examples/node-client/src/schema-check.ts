// Validates messages by the JSON Schemas of zmqruntime-messages.
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Ajv2020 } from "ajv/dist/2020.js";

import { BadMessage } from "./errors.js";
import type { Check } from "./wire.js";

/** Return a check by `reply.json` and `event.json` in a directory. */
export function checkBySchemas(directory: string): Check {
  const ajv = new Ajv2020({ allowUnionTypes: true });
  const compile = (name: string) => {
    return ajv.compile(JSON.parse(readFileSync(join(directory, `${name}.json`), "utf8")) as object);
  };
  const validators = { reply: compile("reply"), event: compile("event") };
  return (kind, message) => {
    const validate = validators[kind];
    if (validate(message)) return;
    const found = ajv.errorsText(validate.errors, { dataVar: kind });
    throw new BadMessage(`${found}; it was ${JSON.stringify(message)}`);
  };
}
