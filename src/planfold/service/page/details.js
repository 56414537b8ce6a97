// One task: what it does, its result, what it cost, its attempts, and why it waits.

import { html, useEffect, useMemo, useSignal } from "./html.js";
import { tasksOf } from "./event_words.js";
import { planPath } from "./address.js";
import { Answers } from "./answers.js";
import { SignalButton, TaskByHand, pauseWords } from "./by_hand.js";
import { Deed } from "./decisions.js";
import { FanOut } from "./fan_out.js";
import { ForkButton } from "./fork.js";
import { get } from "./requests.js";
import { Status, clock, commandOf, duration, idText, kindOf, mapWords, nameOf, phaseWord, plain, shownAs, waitWords } from "./words.js";

const OPEN = new Set(["planned", "running", "needs_clarification"]);
const AGAIN = new Set(["failed", "cancelled", "skipped"]);
const MOST = 20_000; // characters of a result that are shown at first

/**
 * @param {{
 *   plan: string, id: number, task: any, at: number | null, version: number, events: any[],
 *   timeline: any, status: string, tasks: Map<number, any>, among: {tasks: any[], what: string},
 *   onSelect: (id: number | null) => void,
 * }} props `status` is that of the plan, `version` that of the last event about the task; `among` are those behind the same node.
 */
export function Details({ plan, id, task, at, version, events, timeline, status, tasks, among, onSelect }) {
  const details = useSignal(/** @type {any} */ (null));
  const why = useSignal(/** @type {any} */ (null));
  const path = `/v1/plans/${encodeURIComponent(plan)}`;
  useEffect(() => {
    const abort = new AbortController();
    const known = (found) => !abort.signal.aborted && (details.value = found);
    get(`${path}/tasks/${id}${at === null ? "" : `?version=${at}`}`, abort.signal).then(known, () => {});
    return () => abort.abort();
  }, [plan, id, at, version, task.status]);
  useEffect(() => {
    why.value = null;
    if (at !== null || !(OPEN.has(task.status) || task.status === "skipped")) return;
    const abort = new AbortController();
    get(`${path}/why?task=${id}`, abort.signal).then((found) => (why.value = found), () => {});
    return () => abort.abort();
  }, [plan, id, at, task.status, task.attempt, task.waits_for]);

  const found = details.value?.task.id === id ? details.value : null;
  const cost = useMemo(() => costOf(events, id), [events, id]);
  const spec = found?.spec;
  const signal = why.value?.reasons.find((reason) => reason.signal && reason.tasks.includes(id));
  const children = useMemo(
    () => [...tasks.values()].filter((other) => other.depends_on.includes(id)),
    [tasks, id],
  );
  return html`
    <section class="details" aria-label="Task ${plain(nameOf(task))}">
      <header class="details-head">
        <h2>${plain(nameOf(task))}</h2>
        <${Status} of=${shownAs(task)} />
        ${task.superseded && html`<span class="dim">superseded</span>`}
        <button type="button" class="close" aria-label="Close the details" onClick=${() => onSelect(null)}>×</button>
      </header>
      <p class="description">${plain(task.description)}</p>
      ${(task.waits_for || why.value?.reasons?.length > 0) && html`<${Why} ...${{ why: why.value, task, onSelect }} />`}
      ${task.note && html`<p class="note">${plain(task.note)}</p>`}
      ${at === null && html`<div class="buttons">
        ${OPEN.has(task.status) && html`<${Deed} key="cancel" word="Cancel the task" sure="Cancel it" plan=${plan} name="cancel" body=${{ task: String(id) }} />`}
        ${spec && !spec.drafts && task.status !== "planned" && html`<${ForkButton} key="fork" plan=${plan} spec=${spec} at=${String(id)} />`}
        ${AGAIN.has(task.status) && html`<${Deed} key="retry" word="Retry" sure="Run it again" plan=${plan} name="retry" body=${{ task: String(id) }} />`}
        ${spec && status !== "cancelling" && html`<${TaskByHand} key="hand" ...${{ plan, id, task, spec }} />`}
        ${signal && html`<${SignalButton} key="signal" plan=${plan} reason=${signal} />`}
      </div>`}
      ${spec && html`
        <dl class="facts">
          <dt>Does</dt>
          <dd>${kindOf(spec)}${spec.tool && html` · effect ${spec.effect || "once"}`}
            ${commandOf(spec) && html`<pre class="command" tabindex="0" aria-label="Command">${plain(commandOf(spec, found.arguments))}</pre>`}</dd>
          ${(task.depends_on.length > 0 || children.length > 0) && html`
            <dt>Graph</dt>
            <dd>${task.depends_on.length > 0 && html`after <${Names} ids=${task.depends_on} ...${{ tasks, onSelect }} />`}
              ${children.length > 0 && html` before <${Names} ids=${children.map((child) => child.id)} ...${{ tasks, onSelect }} />`}</dd>`}
          ${spec.for_each && html`<dt>For each</dt><dd>${plain(mapWords(spec.for_each))}</dd>`}
          ${spec.wait && html`<dt>${spec.wait.plan ? "Plan" : "Wait"}</dt><dd>${plain(waitWords(spec))}${
            task.plan_id && html` <a href=${planPath(task.plan_id)}>${plain(task.plan_id)}</a>`}</dd>`}
          ${spec.undo && html`<dt>Undo</dt><dd>${found.task.undone && "was done: "}<pre class="command" tabindex="0" aria-label="Undo">${plain(commandOf(spec.undo))}</pre></dd>`}
          ${task.breakpoint && html`<dt>Pauses</dt><dd>before it, ${plain(pauseWords(task.breakpoint))}</dd>`}
          ${task.by_hand && html`<dt>By hand</dt><dd>${task.status === "running" ? "to be " : ""}${handWords(task.by_hand)}</dd>`}
          ${spec.when && html`<dt>When</dt><dd><code>${plain(spec.when)}</code></dd>`}
          <${Answers} ...${{ plan, id, at, found, task }} />
          ${found.task.error && html`<dt>Error</dt><dd><pre class="error" tabindex="0" aria-label="Error">${plain(found.task.error)}</pre></dd>`}
          ${found.task.result !== null && html`<dt>Result</dt><dd><${Result} result=${found.task.result} /></dd>`}
          ${cost && html`<dt>Cost</dt><dd>${cost}</dd>`}
        </dl>`}
      ${among.tasks.length > 1 && html`<${FanOut} ...${{ ...among, selected: id, onSelect }} />`}
      <${Attempts} ...${{ events, id, timeline }} />
    </section>`;
}

/** What a person decided about a task. @param {any} decided */
const handWords = ({ status, by, reason }) => plain(`${status}${by ? ` by ${by}` : ""}${reason ? `: ${reason}` : ""}`);

function Names({ ids, tasks, onSelect }) {
  return html`<span class="names">${ids.slice(0, 12).map((id) => html`
    <button type="button" class="link" key=${id} onClick=${() => onSelect(id)}>${
      plain(tasks.get(id) ? nameOf(tasks.get(id)) : idText(id))}</button>`)}${ids.length > 12 && html` <span class="dim">and ${ids.length - 12} more</span>`}</span>`;
}

function Why({ why, task, onSelect }) {
  const reasons = why?.reasons || [];
  if (!reasons.length) return html`<p class="why">Waits for ${plain(task.waits_for)}.</p>`;
  return html`
    <ul class="why">
      ${reasons.slice(0, 4).map((reason, index) => html`
        <li key=${index}>
          ${reason.tasks[0] !== task.id && html`<button type="button" class="link" onClick=${() => onSelect(reason.tasks[0])}>task ${
            idText(reason.tasks[0])}${reason.tasks.length > 1 ? ` and ${reason.tasks.length - 1} more` : ""}</button> `}
          ${plain(reason.text)}${reason.since && html`<span class="dim"> · for ${duration(why.at - reason.since)}</span>`}
          ${reason.remedy && html`<span class="remedy">${plain(reason.remedy)}</span>`}
        </li>`)}
    </ul>`;
}

function Result({ result }) {
  const whole = useSignal(false);
  const output = result && typeof result === "object" && "exit_code" in result;
  const text = typeof result === "string" ? result
    : output ? [result.stdout, result.stderr].filter(Boolean).join("\n") : JSON.stringify(result, null, 2);
  const shown = whole.value ? text : text.slice(0, MOST);
  return html`
    ${output && html`<p class="dim">exit code ${result.exit_code}</p>`}
    ${text && html`<pre tabindex="0" aria-label="Result">${plain(shown)}</pre>`}
    ${text.length > shown.length && html`<button type="button" onClick=${() => (whole.value = true)}>
      Show all ${text.length.toLocaleString("en")} characters</button>`}`;
}

/** @param {any[]} events @param {number} id */
function costOf(events, id) {
  const sum = { tokens: 0, cost: 0, calls: 0 };
  for (const { data } of events)
    if (data.task_id === id && data.spent)
      for (const name of Object.keys(sum)) sum[name] += data.spent[name] || 0;
  if (!sum.tokens && !sum.cost && !sum.calls) return "";
  const money = sum.cost ? `, $${sum.cost.toFixed(sum.cost < 1 ? 4 : 2)}` : "";
  return `${sum.tokens.toLocaleString("en")} tokens${money}, ${sum.calls} calls`;
}

function Attempts({ events, id, timeline }) {
  const spans = (timeline?.spans || []).filter(([task]) => task === id);
  const errors = new Map();
  let attempt = 0;
  for (const event of events) {
    if (!tasksOf(event).includes(id)) continue;
    if (event.event_type === "TaskDispatched") attempt = event.data.attempt;
    if (event.data.error) errors.set(attempt, event.data.error);
  }
  if (!spans.length) return null;
  return html`
    <h3>Times</h3>
    <ol class="attempts">
      ${spans.map(([, phase, from, to, number], index) => html`
        <li key=${index}>
          <time class="dim">${clock(from)}</time>
          <span>${to === null && phase === "running" ? "runs" : phaseWord(phase)} ${
            duration((to ?? timeline.now) - from)}${number > 1 && html` <span class="dim">attempt ${number}</span>`}
            ${phase === "running" && to !== null && errors.has(number) && number < attempt && html`<span class="attempt-error">${plain(errors.get(number))}</span>`}</span>
        </li>`)}
    </ol>`;
}
