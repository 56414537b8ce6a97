// What people decide by hand: pauses and break-points, a task that is skipped or completed in place
// of its executor, and a signal for a task that waits for one.

import { html, useEffect, useRef, useSignal } from "./html.js";
import { Deed, Fault, useCommand } from "./decisions.js";
import { parse } from "./numbers.js";
import { may, session, write } from "./requests.js";
import { PLAN_ENDED, clock, idText, mapOf, nameOf, plain } from "./words.js";

const TASK_ENDED = new Set(["completed", "failed", "cancelled", "skipped"]);

/**
 * A button, and the form that it opens. `body` makes the request from the reason, or throws what is wrong.
 * @param {{
 *   word: string, label: string, send: string, path: string, body: (reason: string) => any,
 *   children?: any, why?: boolean, onDone?: () => void,
 * }} props
 */
function Decision({ word, label, send, path, body, children, why = true, onDone = () => {} }) {
  const open = useSignal(false);
  const reason = useSignal("");
  const form = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const field = open.value && form.current?.querySelector("input, textarea");
    if (field instanceof HTMLElement) field.focus();
  }, [open.value]);
  const { busy, fault, run } = useCommand(() => write(path, body(reason.value)));
  const submit = async (event) => {
    event.preventDefault();
    if (!(await run(null))) return;
    open.value = false;
    onDone();
  };
  return html`
    <button type="button" aria-expanded=${open.value} onClick=${() => (open.value = !open.value)}>${word}</button>
    ${open.value && html`
      <form class="card by-hand" ref=${form} aria-label=${label} onSubmit=${submit}>
        ${children}
        ${why && html`<label>Why (optional)
          <input value=${reason.value} onInput=${(event) => (reason.value = event.currentTarget.value)} /></label>`}
        <p class="dim">It is recorded with the name ${plain((session.value || { name: "" }).name)}.</p>
        <div class="buttons"><button class="primary" disabled=${busy.value}>${send}</button></div>
        <${Fault} fault=${fault} />
      </form>`}`;
}

/** @param {string} plan @param {string} name */
const pathOf = (plan, name) => `/v1/plans/${encodeURIComponent(plan)}/${name}`;

/** Whether a plan has come to the break-point of a task. @param {any} task @param {Map<number, any>} tasks */
const isReached = (task, tasks) =>
  task.breakpoint && task.status === "planned" &&
  task.depends_on.every((id) => TASK_ENDED.has(tasks.get(id)?.status));

/** The tasks before which a plan pauses. @param {Iterable<any>} tasks */
export const pausedBefore = (tasks) =>
  [...tasks].filter((task) => task.breakpoint && !task.superseded && !TASK_ENDED.has(task.status));

/** Who paused, and why. @param {any} pause */
export const pauseWords = ({ by, reason, since }) =>
  `${by ? `by ${by}` : "by a person"}${since ? `, ${clock(since)}` : ""}${reason ? `: ${reason}` : ""}`;

/** Pause a plan as a whole, and continue it. @param {{plan: string, view: any, tasks: Map<number, any>}} props */
export function PlanPause({ plan, view, tasks }) {
  if (PLAN_ENDED.has(view.status) || view.status === "cancelling") return null;
  const waits = view.status === "awaiting_approval";
  const reached = waits ? [] : view.tasks.filter((task) => isReached(task, tasks));
  const what = view.paused || !reached.length ? "Continue the plan" : `Continue with ${reached.map(nameOf).join(", ")}`;
  return html`
    ${(view.paused || reached.length > 0) &&
      html`<${Deed} key="unpause" word="Unpause" sure=${plain(what)} plan=${plan} name="unpause" scope="approve" />`}
    ${!view.paused && may("write") && html`
      <${Decision} key="pause" word="Pause …" label="Pause the plan" send="Pause the plan" path=${pathOf(plan, "pause")}
        body=${(reason) => ({ reason })}>
        <p>Nothing more starts. What runs or is queued ends.</p>
      <//>`}`;
}

/**
 * Skip or complete a task, and pause before it: what the planner would not refuse.
 * @param {{plan: string, id: number, task: any, spec: any}} props
 */
export function TaskByHand({ plan, id, task, spec }) {
  const name = plain(task.label || `task ${idText(id)}`);
  const once = (spec.effect || "once") === "once";
  const runs = (task.items.length ? task.items : [task]).some((each) => each.status === "running");
  const fixed = task.status === "completed" || task.superseded || spec.drafts || (once && runs && !spec.wait);
  const unneeded = task.status === "skipped" && task.skip_reason !== "failure";
  const asks = spec.kind === "clarification";
  const before = [String(id)];
  return html`
    ${may("approve") && !fixed && !unneeded && html`
      <${Decision} key="skip" word="Skip …" label="Skip ${name}" send="Skip it" path=${pathOf(plan, "skip")}
        body=${(reason) => ({ task: String(id), reason })}>
        <p>The plan continues without ${name}. What follows runs if another task before it ran.</p>
      <//>`}
    ${may("approve") && !fixed && !asks && !spec.for_each && html`<${Completion} key="complete" ...${{ plan, id, name }} />`}
    ${task.breakpoint && !TASK_ENDED.has(task.status) && html`
      <${Deed} key="lift" word="Lift the break-point" sure="Let ${name} run" plan=${plan} name="unpause"
        body=${{ before }} scope="approve" />`}
    ${!task.breakpoint && task.status === "planned" && !task.superseded && !mapOf(id) && may("write") && html`
      <${Decision} key="before" word="Pause before it …" label="Pause before ${name}" send="Set the break-point"
        path=${pathOf(plan, "pause")} body=${(reason) => ({ before, reason })}>
        <p>The plan pauses when it reaches ${name}. What does not depend on it runs.</p>
      <//>`}`;
}

function Completion({ plan, id, name }) {
  const text = useSignal("");
  const body = (reason) => ({ task: String(id), reason, ...given("result", text.value) });
  return html`
    <${Decision} word="Complete …" label="Complete ${name}" send="Complete it" path=${pathOf(plan, "complete")} body=${body}>
      <p>${name} counts as done, with this result. An attempt that runs is stopped first.</p>
      <label>Result, as JSON (optional)
        <textarea rows="3" spellcheck="false" placeholder=${'{"passed": 7}'} value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea></label>
    <//>`;
}

/** A value that was typed as JSON, under its name; nothing where nothing was typed. */
function given(name, text) {
  if (!text.trim()) return {};
  try {
    return { [name]: parse(text) };
  } catch (fault) {
    throw new Error(`The ${name} is not JSON: ${fault.message}. A text needs double quotes: "text".`);
  }
}

/**
 * Send the signal that a task waits for. `reason` is the one of `why`. Tasks of all projects get a
 * signal, so a token for some of them may send none.
 * @param {{plan: string, reason: any}} props
 */
export function SignalButton({ plan, reason }) {
  const text = useSignal("");
  const sent = useSignal(false);
  const key = reason.key ?? plan;
  if (!may("write") || (session.value && session.value.projects?.length)) return null;
  const body = () => ({ name: reason.signal, key, ...given("data", text.value) });
  return html`
    <${Decision} word="Send the signal …" label="Send a signal" send="Send it" path="/v1/signals" body=${body}
        why=${false} onDone=${() => (sent.value = true)}>
      <p>The signal <strong>${plain(reason.signal)}</strong> with the key <strong>${plain(key)}</strong> reaches every task that
        waits for it, in all plans.</p>
      <label>Data, as JSON (optional): the result of the wait
        <textarea rows="3" spellcheck="false" value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea></label>
    <//>
    ${sent.value && html`<p class="dim" role="status">The signal is recorded. A worker delivers it.</p>`}`;
}
