// A progress bar on a terminal: formats events as lines of text.
import type { Event, ProgressEvent, StateEvent } from "./messages.js";

const CELLS = 24;
// Control and format characters, surrogates, line and paragraph separators.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Format an event as one line of at most `columns` characters. */
export function drawLine(event: Event, columns: number): string {
  const line = event.type === "progress" ? drawProgress(event) : drawState(event);
  return line.length > columns ? line.slice(0, Math.max(0, columns - 1)) + "…" : line;
}

function drawProgress(event: ProgressEvent): string {
  const words = [event.phase, event.message].filter(Boolean).map((text) => printable(String(text)));
  return [drawBar(event.percent ?? null), ...words].join("  ");
}

function drawState(event: StateEvent): string {
  const reason = event.error ? `: ${printable(event.error.message)}` : "";
  return event.status + reason;
}

/** A bar for a percentage; an indeterminate one for null. */
export function drawBar(percent: number | null): string {
  if (percent === null) return `[${"·".repeat(CELLS)}]      `;
  const known = Math.min(100, Math.max(0, percent));
  const filled = Math.round((known / 100) * CELLS);
  return `[${"#".repeat(filled)}${"-".repeat(CELLS - filled)}] ${known.toFixed(0).padStart(3)} %`;
}

/** Replace control characters, so that untrusted text cannot control the terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, " ");
}

/** Format as JSON with control characters escaped; they only occur in strings. */
export function printableJson(value: unknown): string {
  return String(JSON.stringify(value)).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, at) => escapeUnit(character.charCodeAt(at))).join(""),
  );
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
