/** Numbers as the view writes them. */

import type { Meta } from "./protocol";

const COUNT = new Intl.NumberFormat("en-US");

export function count(n: number): string {
  return COUNT.format(n);
}

/** `1 document`, `2 documents`; `1 match`, `2 matches`. */
export function counted(n: number, noun: string, nouns = `${noun}s`): string {
  return `${count(n)} ${n === 1 ? noun : nouns}`;
}

/** A share in percent, with one decimal where that tells something; an en dash for a share of nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return "–";
  const value = (100 * part) / whole;
  if (value === 0 || value === 100) return `${value}%`;
  if (value < 0.1) return "<0.1%";
  if (value > 99.9) return ">99.9%";
  return value < 9.95 || value > 99.5 ? `${value.toFixed(1)}%` : `${Math.round(value)}%`;
}

/** A score as it is written everywhere: 1, 0.75, 0.5, 0.25, 0; an en dash when there is none. */
export function score(value: number | null): string {
  return value === null ? "–" : String(value);
}

/** A metadata value; an en dash for a missing one. A column may be called like a property of all objects. */
export function metaOf(meta: Meta, name: string): string {
  return (Object.hasOwn(meta, name) && meta[name]) || "–";
}

/** A day of a date in milliseconds since 1970, YYYY-MM-DD; empty for what lies beyond all calendars. */
export function day(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, 10);
}
