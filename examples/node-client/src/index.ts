export { drawLine } from "./bar.js";
export { Client, type ClientOptions, type SubmitOptions, type Task } from "./client.js";
export { BadMessage, NoReply, NotCompleted, PeerError, Rejected } from "./errors.js";
export { Execution } from "./execution.js";
export type * from "./messages.js";
export { checkBySchemas } from "./schema-check.js";
export { type Check, isTerminal } from "./wire.js";
