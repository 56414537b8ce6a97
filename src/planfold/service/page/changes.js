// What a person may change of a plan as a whole: its tasks, its budget, its tags, and names for its versions.

import { html, useEffect, useSignal } from "./html.js";
import { planPath } from "./address.js";
import { Fault, useCommand } from "./decisions.js";
import { ForkButton } from "./fork.js";
import { get, may, write } from "./requests.js";
import { TagChange } from "./tags.js";
import { plain } from "./words.js";

const LIMITS = { tokens: "tokens", cost: "US dollars", calls: "calls", seconds: "seconds", tasks: "tasks" };

/** The changes that this token may make of this plan, by name. @param {any} view */
function kindsOf(view) {
  const found = [];
  if (may("write")) found.push(["revise", "Revise", Revision]);
  if (may("write") && view.model) found.push(["replan", "Replan", Replan]);
  if (may("approve") && limitsOf(view).length) found.push(["budget", "Budget", BudgetRaise]);
  if (may("write")) found.push(["tags", "Tags", TagChange]);
  found.push(["checkpoints", "Checkpoints", Checkpoints]);
  return found;
}

/** The amounts of a plan that are limited. @param {any} view */
const limitsOf = (view) => Object.keys(LIMITS).filter((name) => (view.budget[name] ?? null) !== null);

/** @param {{plan: string, view: any, onClose: () => void}} props */
export function PlanChanges({ plan, view, onClose }) {
  const kinds = kindsOf(view);
  const chosen = useSignal(kinds[0][0]);
  const [, , Form] = kinds.find(([name]) => name === chosen.value) || kinds[0];
  return html`
    <section class="card changes" aria-label="Change the plan">
      <div class="details-head">
        <div class="choice" role="group" aria-label="What to change">
          ${kinds.map(([name, word]) => html`<button type="button" key=${name}
            aria-pressed=${chosen.value === name} onClick=${() => (chosen.value = name)}>${word}</button>`)}
        </div>
        <button type="button" class="close" aria-label="Close the changes" onClick=${onClose}>×</button>
      </div>
      <${Form} key=${chosen.value} ...${{ plan, view, onClose }} />
    </section>`;
}

/** A command to the plan, as the handler of a form. */
function useForm(plan, name, body, onDone) {
  const { busy, fault, run } = useCommand(() => write(`/v1/plans/${encodeURIComponent(plan)}/${name}`, body()));
  const submit = async (event) => {
    event.preventDefault();
    if (await run(null)) onDone();
  };
  return { busy, fault, submit };
}

function Revision({ plan, onClose }) {
  const text = useSignal("");
  const reading = useSignal("");
  useEffect(() => {
    const abort = new AbortController();
    get(`/v1/plans/${encodeURIComponent(plan)}/remaining`, abort.signal).then(
      (draft) => text.value ||= JSON.stringify({ tasks: draft.tasks }, null, 2),
      (fault) => abort.signal.aborted || (reading.value = fault.message),
    );
    return () => abort.abort();
  }, [plan]);
  const { busy, fault, submit } = useForm(plan, "revise", () => ({ text: text.value }), onClose);
  return html`
    <form class="change" onSubmit=${submit}>
      <label>Tasks that have not started, or did not complete
        <textarea rows="12" spellcheck="false" value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea></label>
      <p class="dim">They are replaced by what is written here. What has run or is running stays. The revision is
        shown, and waits for an approval.</p>
      <div class="buttons"><button class="primary" disabled=${busy.value || !text.value.trim()}>Revise</button></div>
      <${Fault} fault=${reading} /><${Fault} fault=${fault} />
    </form>`;
}

function Replan({ plan, onClose }) {
  const reason = useSignal("");
  const { busy, fault, submit } = useForm(plan, "replan", () => ({ reason: reason.value }), onClose);
  return html`
    <form class="change" onSubmit=${submit}>
      <label>What the model should know
        <input value=${reason.value} onInput=${(event) => (reason.value = event.currentTarget.value)} /></label>
      <p class="dim">The model plans again what has not started. Its revision waits for an approval.</p>
      <div class="buttons"><button class="primary" disabled=${busy.value}>Replan</button></div>
      <${Fault} fault=${fault} />
    </form>`;
}

function BudgetRaise({ plan, view, onClose }) {
  const more = useSignal(/** @type {Record<string, number>} */ ({}));
  const { busy, fault, submit } = useForm(plan, "budget", () => ({ budget: more.value }), onClose);
  const put = (name, text) => {
    const { [name]: _, ...others } = more.value;
    more.value = Number(text) > 0 ? { ...others, [name]: Number(text) } : others;
  };
  return html`
    <form class="change" onSubmit=${submit}>
      ${limitsOf(view).map((name) => html`<label key=${name}>More ${LIMITS[name]}
        <span class="dim">(${(view.spent[name] || 0).toLocaleString("en")} of ${view.budget[name].toLocaleString("en")} spent)</span>
        <input type="number" min="0" step=${name === "cost" ? "0.01" : "1"}
          onInput=${(event) => put(name, event.currentTarget.value)} /></label>`)}
      <div class="buttons"><button class="primary"
        disabled=${busy.value || !Object.keys(more.value).length}>Add to the budget</button></div>
      <${Fault} fault=${fault} />
    </form>`;
}

function Checkpoints({ plan, view }) {
  const name = useSignal("");
  const { busy, fault, submit } = useForm(plan, "checkpoint", () => ({ name: name.value.trim() }), () => (name.value = ""));
  const named = Object.entries(view.checkpoints);
  return html`
    <div class="change">
      ${named.length > 0 && html`<ul class="checkpoints">${named.map(([each, version]) => html`
        <li key=${each}><strong>${plain(each)}</strong>
          <a href=${planPath(plan, `?version=${version}`)}>version ${version}</a>
          <${ForkButton} plan=${plan} at=${version} word="Restore …" /></li>`)}</ul>`}
      ${may("write") && html`<form class="answer" onSubmit=${submit}>
        <input aria-label="Name of the checkpoint" placeholder="Name of version ${view.version}" required
          value=${name.value} onInput=${(event) => (name.value = event.currentTarget.value)} />
        <button class="primary" disabled=${busy.value || !name.value.trim()}>Name this version</button>
      </form>`}
      <p class="dim">To restore a checkpoint is to fork the plan there: this one stays as it is.</p>
      <${Fault} fault=${fault} />
    </div>`;
}
