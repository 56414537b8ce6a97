// What people decide: answers, approvals, cancelling, retrying. Each is a form with its own errors.

import { html, useEffect, useSignal } from "./html.js";
import { get, may, write } from "./requests.js";
import { clock, commandOf, counted, duration, kindOf, mapWords, nameOf, plain, waitWords } from "./words.js";

/**
 * Sends a command; shows while it is sent, and why it was refused.
 * @param {(body: any) => Promise<any>} send
 */
export function useCommand(send) {
  const busy = useSignal(false);
  const fault = useSignal("");
  const run = async (body) => {
    if (busy.value) return false;
    busy.value = true;
    fault.value = "";
    try {
      await send(body);
      return true;
    } catch (problem) {
      fault.value = problem.message;
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy, fault, run };
}

export const Fault = ({ fault }) => (fault.value ? html`<p class="fault" role="alert">${plain(fault.value)}</p>` : null);

const commandPath = (plan, name) => `/v1/plans/${encodeURIComponent(plan)}/${name}`;

/**
 * An open question, with what answers it.
 * @param {{plan: string, task: string, question: any, title?: any, heading?: string}} props
 */
export function Question({ plan, task, question, title, heading = "h3" }) {
  const text = useSignal("");
  const { busy, fault, run } = useCommand((body) => write(commandPath(plan, "answer"), { task, ...body }));
  const choices = question.choices || [];
  const fails = question.question.includes("report it as failed"); // work for a person
  const waits = question.deadline ? Math.max(question.deadline - Date.now() / 1000, 0) : null;
  const submit = (event) => {
    event.preventDefault();
    run({ answer: text.value });
  };
  return html`
    <section class="card asks" data-question=${task}>
      <p class="card-kind"><span class="mark is-needs_clarification" aria-hidden="true">?</span> Question${
        title && html` <span class="dim">of ${title}</span>`}</p>
      <${heading} class="question">${plain(question.question)}</${heading}>
      ${question.started_at && html`<p class="dim">It was started ${clock(question.started_at)}.</p>`}
      ${may("approve")
        ? html`
          ${choices.length > 0 && html`<div class="buttons">
            ${choices.map((choice) => html`<button type="button" key=${choice} disabled=${busy.value}
              onClick=${() => run({ answer: choice })}>${plain(choice)}</button>`)}
          </div>`}
          ${choices.length === 0 && html`<form class="answer" onSubmit=${submit}>
            <input aria-label="Answer" value=${text.value} required
              onInput=${(event) => (text.value = event.currentTarget.value)} />
            <button class="primary" disabled=${busy.value}>Answer</button>
            ${fails && html`<button type="button" disabled=${busy.value || !text.value}
              onClick=${() => run({ answer: text.value, failed: true })}>It failed</button>`}
          </form>`}`
        : html`<p class="dim">An answer needs the scope approve.</p>`}
      ${question.default !== undefined && question.default !== null && html`
        <p class="dim">Without an answer: “${plain(question.default)}”${waits !== null && ` in ${duration(waits)}`}</p>`}
      <${Fault} fault=${fault} />
    </section>`;
}

/**
 * What a plan would do, exactly, to be approved or refused. `before` are the tasks before which it pauses.
 * @param {{plan: string, revision: string, before: any[]}} props
 */
export function Approval({ plan, revision, before }) {
  const details = useSignal(/** @type {any} */ (null));
  const reason = useSignal("");
  const refuses = useSignal(false);
  const approving = useCommand(() =>
    write(commandPath(plan, "approve"), { revision_hash: details.value.revision_hash }));
  const rejecting = useCommand(() => write(commandPath(plan, "reject"), { reason: reason.value }));
  useEffect(() => {
    const abort = new AbortController();
    details.value = null;
    get(`/v1/plans/${encodeURIComponent(plan)}/revision`, abort.signal)
      .then((found) => (details.value = found))
      .catch((fault) => abort.signal.aborted || (approving.fault.value = fault.message));
    return () => abort.abort();
  }, [plan, revision]);
  const found = details.value;
  return html`
    <section class="card approval" aria-label="Approval">
      <p class="card-kind"><span class="mark is-awaiting_approval" aria-hidden="true">!</span> Awaiting approval</p>
      <h2 class="question">${found?.changes ? "May this revision run?" : "May this plan run?"}</h2>
      ${found?.changes ? html`<${Changes} changes=${found.changes} />`
        : found && html`<${Specs} specs=${found.tasks} />`}
      ${before.length > 0 && html`<p class="paused"><span aria-hidden="true">‖</span> Pauses before ${plain(before.map(nameOf).join(", "))}.</p>`}
      ${found && html`<p class="dim">Revision <code>${found.revision_hash}</code>: exactly what is shown here.</p>`}
      ${may("approve") ? html`
        <div class="buttons">
          <button type="button" class="primary" disabled=${!found || approving.busy.value}
            onClick=${() => approving.run(null)}>Approve</button>
          <button type="button" onClick=${() => (refuses.value = !refuses.value)}
            aria-expanded=${refuses.value}>Reject …</button>
        </div>
        ${refuses.value && html`
          <form class="answer" onSubmit=${(event) => { event.preventDefault(); rejecting.run(null); }}>
            <input aria-label="Reason" placeholder="Reason (optional)" value=${reason.value}
              onInput=${(event) => (reason.value = event.currentTarget.value)} />
            <button disabled=${rejecting.busy.value}>Reject the plan</button>
          </form>`}`
        : html`<p class="dim">An approval needs the scope approve.</p>`}
      <${Fault} fault=${approving.fault} /><${Fault} fault=${rejecting.fault} />
    </section>`;
}

/** Tasks with what they do. @param {{specs: any[]}} props */
export function Specs({ specs }) {
  const most = useSignal(500);
  return html`
    <ol class="specs">
      ${specs.slice(0, most.value).map((spec) => html`<${Spec} key=${spec.id} spec=${spec} />`)}
      ${specs.length > most.value && html`<li><button type="button" onClick=${() => (most.value += 2000)}>
        Show more of ${counted(specs.length, "task")}</button></li>`}
    </ol>`;
}

function Spec({ spec, mark = "" }) {
  const command = commandOf(spec);
  return html`
    <li class="spec">
      <span class="spec-id">${mark}${plain(nameOf(spec))}</span>
      ${!says(spec.description, command) && html`<span>${plain(spec.description)}</span>`}
      ${command && html`<pre class="command">${plain(command)}</pre>`}
      <span class="dim">${plain(metaOf(spec))}</span>
      ${spec.wait?.plan?.tasks && html`<ol class="specs">${sketchOf(spec.wait.plan).map(
        (inner) => html`<${Spec} key=${inner.id} spec=${inner} />`)}</ol>`}
    </li>`;
}

/** The tasks of a sub-plan as they are written: what only their tools say is not known. */
function sketchOf({ tasks }) {
  return tasks.map(({ plan, tool, arguments: given = {}, ...task }, place) => ({
    ...task,
    id: task.id || place + 1,
    tool: tool && { name: tool, arguments: given },
    for_each: task.for_each && { ...task, items: task.for_each },
    wait: plan && typeof plan === "object" ? { plan } : undefined,
    sketch: true,
  }));
}

/** Whether a description is the command and nothing else. */
function says(description, command) {
  const bare = description.replaceAll("`", "").trim().replace(/\.$/, "");
  return command !== "" && [`$ ${bare}`, `$ ${bare.replace(/^run /i, "")}`].includes(command);
}

const GUARDS = {
  failed: "runs if a task before it failed",
  ended: "runs however the tasks before it end",
};

/** Kind, effect and everything that is not usual, in a few words. @param {any} spec */
function metaOf(spec) {
  const words = [kindOf(spec)];
  if (spec.tool && !spec.sketch) words.push(spec.effect || "once");
  const { choices = [], default: otherwise, deadline } = spec.prompt || {};
  if (choices.length) words.push(choices.join(" / "));
  if (otherwise != null) words.push(`default “${otherwise}”${deadline ? ` after ${duration(deadline)}` : ""}`);
  if (spec.retry?.attempts > 1) words.push(`${spec.retry.attempts} attempts`);
  if (spec.stall_timeout) words.push(`at most ${duration(spec.stall_timeout)} without progress`);
  if (spec.timeout && !spec.wait) words.push(`timeout ${duration(spec.timeout)}`);
  if (spec.route && !spec.drafts) words.push(`route ${spec.route}`);
  if (spec.limits?.length) words.push(`under the limit${spec.limits.length > 1 ? "s" : ""} ${spec.limits.join(", ")}`);
  if (spec.run_if in GUARDS) words.push(GUARDS[spec.run_if]);
  if (spec.when) words.push(`runs when ${spec.when}`);
  if (spec.wait) words.push(waitWords(spec));
  if (spec.for_each) words.push(`runs for each of ${mapWords(spec.for_each)}`);
  if (spec.on_failure === "continue") words.push("its dependents run even if it fails");
  if (spec.depends_on?.length) words.push(`after ${spec.depends_on.join(", ")}`);
  return words.join(" · ");
}

function Changes({ changes }) {
  const { added = [], removed = [], changed = [], same = 0 } = changes;
  return html`
    <ol class="specs">
      ${removed.map((spec) => html`<li class="spec is-removed" key=${`-${spec.id}`}>
        <span class="spec-id">− ${plain(nameOf(spec))}</span><span>${plain(spec.description)}</span></li>`)}
      ${changed.map(({ before, after, fields }) => html`<li class="spec is-changed" key=${`~${after.id}`}>
        <span class="spec-id">~ ${plain(nameOf(after))}</span><span>${plain(after.description)}</span>
        ${fields.map((field) => html`<span class="difference" key=${field}>
          <span class="dim">${field}</span>
          <del>${plain(fieldOf(before, field))}</del><ins>${plain(fieldOf(after, field))}</ins></span>`)}
      </li>`)}
      ${added.map((spec) => html`<${Spec} key=${`+${spec.id}`} spec=${spec} mark="+ " />`)}
    </ol>
    <p class="dim">${counted(same, "task")} as before.</p>`;
}

function fieldOf(spec, field) {
  if (field === "tool") return commandOf(spec) || "nothing";
  const value = spec[field];
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

/**
 * A button that asks once more before it sends a command.
 * @param {{word: string, sure: string, plan: string, name: string, body?: any, scope?: string}} props
 */
export function Deed({ word, sure, plan, name, body = {}, scope = "write" }) {
  const asked = useSignal(false);
  const { busy, fault, run } = useCommand(() => write(commandPath(plan, name), body));
  if (!may(scope)) return null;
  const done = async () => {
    await run(null);
    asked.value = false;
  };
  return html`
    <span class="deed">
      ${asked.value
        ? html`<button type="button" class="danger" disabled=${busy.value} onClick=${done}>${sure}</button>
          <button type="button" onClick=${() => (asked.value = false)}>No</button>`
        : html`<button type="button" onClick=${() => (asked.value = true)}>${word}</button>`}
      <${Fault} fault=${fault} />
    </span>`;
}
