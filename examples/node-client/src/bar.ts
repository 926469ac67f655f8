// A progress bar on a terminal: pure text out of events.
import type { Event, ProgressEvent, StateEvent } from "./messages.js";

const CELLS = 24;
// Control and format characters, surrogates, line and paragraph separators.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** What one line shows of an execution. */
export function drawLine(event: Event, columns: number): string {
  const line = event.type === "progress" ? drawProgress(event) : drawState(event);
  return line.length > columns ? line.slice(0, Math.max(0, columns - 1)) + "…" : line;
}

function drawProgress(event: ProgressEvent): string {
  const words = [event.phase, event.message].filter(Boolean).map((text) => printable(String(text)));
  return [drawBar(event.percent ?? null), ...words].join("  ");
}

function drawState(event: StateEvent): string {
  const why = event.error ? `: ${printable(event.error.message)}` : "";
  return event.status + why;
}

/** A bar for a percentage; one without a length when it is not known. */
export function drawBar(percent: number | null): string {
  if (percent === null) return `[${"·".repeat(CELLS)}]      `;
  const known = Math.min(100, Math.max(0, percent));
  const filled = Math.round((known / 100) * CELLS);
  return `[${"#".repeat(filled)}${"-".repeat(CELLS - filled)}] ${known.toFixed(0).padStart(3)} %`;
}

/** What a task reports must not move the cursor, nor do anything else to the terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, " ");
}

/** The same for JSON, whose value stays: there such characters are within strings only. */
export function printableJson(value: unknown): string {
  return String(JSON.stringify(value)).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, at) => escapeUnit(character.charCodeAt(at))).join(""),
  );
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
