// Events in plain words.

import { counted, duration, idText, plain } from "./words.js";

/** @param {number[]} ids */
const tasks = (ids) =>
  `task${ids.length === 1 ? "" : "s"} ${ids.slice(0, 10).map(idText).join(", ")}${ids.length > 10 ? ", …" : ""}`;

/** A result in a few words; of a command's output the last line. @param {any} result */
export function shortResult(result) {
  if (result === null || result === undefined) return "";
  if (typeof result === "string") return result;
  if (typeof result === "object" && "exit_code" in result) {
    const lines = String(result.stdout || result.stderr || "").split("\n");
    return lines.findLast((line) => line.trim()) || `exit code ${result.exit_code}`;
  }
  return JSON.stringify(result);
}

/** @type {Record<string, string>} */
const AGAIN = {
  retry: "retried by a person",
  answer_changed: "an answer was changed",
  by_hand: "a person decides about one of them",
  undone: "they were undone",
};

/** @type {Record<string, (data: any) => [verb: string, detail: string]>} */
const WORDS = {
  TasksPlanned: (d) => ["planned", `${d.title} (${counted(d.tasks.length, "task")})`],
  PlanApproved: (d) => ["approved", `revision ${d.revision_hash}${by(d)}`],
  PlanRevised: (d) => [
    "revised",
    `${counted(d.tasks.length, "task")} planned` +
      (d.removed?.length ? `, ${d.removed.length} removed` : ""),
  ],
  MapExpanded: (d) => ["expanded", counted(d.count, "item")],
  WaitStarted: (d) => ["waits", d.key ? `for the key ${d.key}` : ""],
  WaitRegistered: (d) =>
    d.plan_id ? [d.stop ? "cancels" : "began", `the plan ${d.plan_id}`] : ["registered", "for its signal"],
  SubPlanContinued: (d) => ["continued", `for attempt ${d.attempt} of the task of its parent`],
  EndReported: () => ["reported", "its end to its parent"],
  TaskDispatched: (d) => ["queued", d.attempt > 1 ? `attempt ${d.attempt}` : ""],
  TaskStatusUpdated: (d) =>
    d.status === "running" ? ["progress", d.note || ""] : [d.status, d.error || shortResult(d.result)],
  RetryScheduled: (d) => ["retries", `in ${duration(d.delay)}: ${d.error}`],
  ClarificationRequested: (d) => [
    "asks",
    d.question + (d.choices?.length ? ` [${d.choices.join(" / ")}]` : ""),
  ],
  ClarificationReceived: (d) => [d.leads_to === "fail" ? "could not" : "answered", d.answer + by(d)],
  TasksReset: (d) => [
    "planned",
    `${tasks(d.task_ids)}: ${AGAIN[d.reason] || d.reason}`,
  ],
  StepStarted: (d) => ["calls", d.about || d.key],
  StepRecorded: (d) => ["step", `${d.key} = ${shortResult(d.value)}`],
  StepFailed: (d) => ["call failed", `${d.key}: ${d.error || ""}`],
  BudgetAdded: (d) => ["budget", `${JSON.stringify(d.budget)} more${by(d)}`],
  CancelRequested: (d) => ["stopping", tasks(d.task_ids) + (d.reason ? `: ${d.reason}` : "")],
  PlanCancelled: (d) => ["cancelled", `the plan${d.reason ? `: ${d.reason}` : ""}`],
  ContextCompacted: (d) => ["compacted", `from ${d.tokens_before} to ${d.tokens_after} tokens`],
  PlanPaused: (d) => ["paused", `${before(d)}${by(d)}${because(d)}`],
  PlanUnpaused: (d) => ["unpaused", `${before(d)}${by(d)}`],
  TaskDecided: (d) => ["decided", `${d.status} by hand${by(d)}${because(d)}`],
  PlanTagged: (d) => [
    "tagged",
    [...(d.added || []).map((/** @type {string} */ t) => `+${t}`), ...(d.removed || []).map((/** @type {string} */ t) => `-${t}`)].join(" ") + by(d),
  ],
  CheckpointNamed: (d) => ["checkpoint", d.name],
  PlanForked: (d) => ["forked", `${d.origin} at version ${d.version}`],
  UndoPlanned: (d) => ["to undo", tasks(d.task_ids) + (d.question ? ", if a person agrees" : "") + by(d)],
  PlanningCompleted: (d) => [
    d.outcome,
    `the plan: ${d.summary.completed} of ${counted(d.summary.total, "task")} completed`,
  ],
};

/** @param {any} data */
const before = (data) => (data.task_ids?.length ? `before ${tasks(data.task_ids)}` : "the plan");

/** @param {any} data */
const because = (data) => (data.reason ? `: ${data.reason}` : "");

/** @param {any} data */
function by(data) {
  return data.by ? ` by ${data.by}` : "";
}

const MOST = 400;

/** @param {any} event */
export function wordsFor(event) {
  const make = WORDS[event.event_type];
  let words = [event.event_type, ""];
  try {
    if (make) words = make(event.data);
  } catch {
    // An event of a newer version has other fields; its type is what can be said.
  }
  const [verb, detail] = words;
  return { verb, detail: plain(String(detail).slice(0, MOST)).replaceAll("\n", " ") };
}

/** The tasks that an event is about. @param {any} event @returns {number[]} */
export function tasksOf(event) {
  const { task_id, task_ids } = event.data || {};
  if (task_id !== undefined) return [task_id];
  return task_ids || [];
}
