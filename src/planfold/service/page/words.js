// Words and marks: the same for tasks, plans and times wherever they are shown.

import { html } from "./html.js";

const MARKS = {
  planned: "·",
  running: "▸",
  needs_clarification: "?",
  completed: "✓",
  failed: "✗",
  cancelled: "⊘",
  skipped: "–",
  undone: "↺",
  awaiting_approval: "!",
  awaiting_answer: "?",
  paused: "‖",
  cancelling: "◌",
};
/** Of a fan-out, the first of these that one of its tasks has is the one to look at. */
export const FIRST_SEEN = [
  "failed", "needs_clarification", "running", "cancelled", "skipped", "planned", "undone", "completed",
];
/** What a task is shown as: its status, or that it was undone. @param {any} task @returns {string} */
export const shownAs = (task) => (task.undone ? "undone" : task.status);

/** How many tasks are shown as each of these. @param {any[]} tasks @returns {Map<string, number>} */
export function countsOf(tasks) {
  const counts = new Map();
  for (const task of tasks) counts.set(shownAs(task), (counts.get(shownAs(task)) || 0) + 1);
  return counts;
}

/** How a plan ends. */
export const PLAN_ENDED = new Set(["completed", "failed", "cancelled"]);

const PHASES = {
  approval: "waits for approval",
  pause: "waits for a person to unpause it",
  retry: "waits for the next attempt",
  plan_limit: "waits for a slot of the plan",
  route_limit: "waits for a slot of its route",
  answer: "waits for an answer",
  budget: "waits for more budget",
  worker: "queued",
  running: "ran",
  items: "its items ran",
  map_limit: "waits for a slot of its map",
  stopping: "stopping",
  parents: "waits for other tasks",
  ended: "until it was planned again",
};

/** @param {string} status */
export const markOf = (status) => MARKS[status] || "·";
/** The same word as on the command line. @param {string} status */
export const wordOf = (status) =>
  status === "needs_clarification" ? "awaiting answer" : status.replaceAll("_", " ");
/** @param {string} phase */
export const phaseWord = (phase) => PHASES[phase] || phase;

/** A status as mark and word. @param {{of: string, word?: boolean}} props */
export const Status = ({ of, word = true }) => html`
  <span class="status is-${of}">
    <span class="mark" aria-hidden="true">${markOf(of)}</span>${word && html`<span>${wordOf(of)}</span>`}
  </span>`;

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(seconds, 0);
  if (s < 10) return `${s.toFixed(1)} s`;
  const whole = Math.floor(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const another = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
});

/** A time of day, with the date where it is not today. @param {number} seconds */
export function clock(seconds) {
  const date = new Date(seconds * 1000);
  const same = date.toDateString() === new Date().toDateString();
  return (same ? today : another).format(date);
}

/** @param {number} count @param {string} what */
export const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

const STRIDE = 10 ** 10; // the id of an item of a map is the id of the map times this, plus its place

/** The id of the map that an item belongs to; 0 for other tasks. @param {number | null} id */
export const mapOf = (id) => Math.floor((id || 0) / STRIDE);

/** An id as people write it: 3, and 3[0] for the first item of map 3. @param {number} id */
export const idText = (id) => (id >= STRIDE ? `${mapOf(id)}[${id % STRIDE}]` : String(id));

/** @param {{id: number, label?: string | null}} task */
export const nameOf = (task) => (task.label ? `${idText(task.id)} ${task.label}` : idText(task.id));

/** A person can read a word of a shell command, and copy it. @param {string} word */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;
}

// A reference to a result, or $$ for a dollar: the grammar of planner/references.py.
const REFERENCE =
  /(\$(?:\$|(?:\d+|[A-Za-z_][\w-]*)(?::(?:status|error)(?![\w-])|(?:\.\w+|\[-?\d{1,9}\]|\["(?:[^"\\]|\\.)*"\])*)))/;

/** A word that is still to be resolved: references look as they do in the plan. @param {string} word */
function written(word) {
  const parts = word.split(REFERENCE); // every second one is a reference or $$
  const refers = parts.some((part, index) => index % 2 && part !== "$$");
  if (!refers) return quoted(parts.map((part, index) => (index % 2 ? "$" : part)).join(""));
  if (parts.every((part, index) => (index % 2 ? part !== "$$" : /^[\w@%+=:,./-]*$/.test(part)))) return word;
  const escaped = (part) => part.replace(/["\\`$]/g, "\\$&");
  return `"${parts.map((part, index) => (index % 2 ? part.replace("$$", () => "\\$") : escaped(part))).join("")}"`;
}

/**
 * What a task will do, exactly: a person approves it. `resolved` are its arguments once it has begun.
 * @param {any} spec @param {any} [resolved]
 * @returns {string}
 */
export function commandOf(spec, resolved) {
  if (!spec.tool) return "";
  const given = resolved || spec.tool.arguments || {};
  const { argv, script, ...rest } = given;
  const lines = [];
  if (spec.tool.name === "shell" && Array.isArray(argv)) {
    const shown = resolved || spec.tool.literal?.includes("argv") ? quoted : written;
    lines.push(`$ ${argv.map((word) => shown(String(word))).join(" ")}`);
  } else if (spec.tool.name === "shell" && typeof script === "string") {
    lines.push(...script.split("\n").map((line) => `$ ${line}`));
  } else {
    return `${spec.tool.name} ${JSON.stringify(given, null, 1)}`;
  }
  if (Object.keys(rest).length) lines.push(`with ${JSON.stringify(rest)}`);
  return lines.join("\n");
}

/** Of a map: its list, and how many items there may be. @param {any} of */
export function mapWords({ items, max_items = 1000, concurrency = 100, on_item_failure = "stop", item_by_item = false }) {
  const most = `at most ${max_items.toLocaleString("en")}, ${concurrency.toLocaleString("en")} at once`;
  const fails = on_item_failure === "continue" ? ", the others run if one fails" : "";
  return `${items} (${most}${fails}${item_by_item ? ", item by item" : ""})`;
}

/** What a wait waits for. @param {any} spec */
export function waitWords({ wait, timeout }) {
  if (wait.plan) {
    const { title, tasks = [] } = wait.plan;
    return `runs ${title ? `the plan ${title}` : "a plan"}${tasks.length ? ` (${counted(tasks.length, "task")})` : ""}`;
  }
  if (!wait.signal) return wait.written ? `waits until ${wait.written}` : `waits ${duration(wait.seconds)}`;
  const key = wait.key ? ` with the key ${wait.key}` : "";
  const limit = timeout ? `, at most ${duration(timeout)}` : "";
  return `waits for the signal ${wait.signal}${key}${limit}${"default" in wait ? ", then takes its default" : ""}`;
}

/** What a task is, in a word. @param {any} spec */
export function kindOf(spec) {
  if (spec.kind === "clarification") return "question";
  if (spec.tool) return spec.tool.name;
  if (spec.wait) return "wait";
  return spec.drafts ? "a model plans" : "to be worked out";
}

// Control and format characters, among them those that reverse or hide text; not the joiners that
// are inside of words and emoji, nor line breaks and tabs.
const HIDDEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text in which no character can reverse or hide what is around it. @param {unknown} text */
export const plain = (text) =>
  String(text ?? "").replace(HIDDEN, (each) => `\\u{${each.codePointAt(0)?.toString(16)}}`);
