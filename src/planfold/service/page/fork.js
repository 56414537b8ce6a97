// A fork: another plan that continues this one from a version on, perhaps with other arguments.

import { html, useSignal } from "./html.js";
import { go, planPath } from "./address.js";
import { Fault, useCommand } from "./decisions.js";
import { parse } from "./numbers.js";
import { Repeats, allowed, needConsent, useTrial } from "./repeats.js";
import { may, write } from "./requests.js";
import { counted, idText, plain } from "./words.js";

/**
 * `at` is a version, or the id of a task as a text: the version before that task began. `spec` is that task.
 * @param {{plan: string, at: number | string, spec?: any, word?: string}} props
 */
export function ForkButton({ plan, at, spec, word = "Fork from here …" }) {
  const asked = useSignal(false);
  if (!may("write")) return null;
  return html`
    <button type="button" aria-expanded=${asked.value} onClick=${() => (asked.value = !asked.value)}>${word}</button>
    ${asked.value && html`<${Fork} ...${{ plan, at, spec }} />`}`;
}

function Fork({ plan, at, spec }) {
  const text = useSignal(JSON.stringify(spec?.tool?.arguments || {}, null, 2));
  const repeat = useSignal(/** @type {string[]} */ ([]));
  const approve = useSignal(false);
  const trial = useTrial(plan, () => ({ at, changes: changesIn(text.value, spec) }), [at, text.value]);
  const { busy, fault, run } = useCommand(async () => {
    const body = { at, changes: changesIn(text.value, spec), repeat: repeat.value, approve: approve.value };
    go(planPath((await write(`/v1/plans/${encodeURIComponent(plan)}/fork`, body)).plan_id));
  });
  const found = trial.found.value;
  const waits = found && (found.waits_for_approval || found.origin_waits);
  const effects = needConsent(found?.effects || []);
  return html`
    <form class="card fork" aria-label="Fork" onSubmit=${(event) => { event.preventDefault(); run(null); }}>
      <p>Another plan continues this one${found && ` at version ${found.version}`}. This one stays as it is.</p>
      ${spec?.tool && html`<label>Arguments of ${plain(spec.label || `task ${idText(spec.id)}`)} in the fork
        <textarea rows="4" spellcheck="false" value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea></label>`}
      ${found && html`<p class="dim">${counted(found.again.length, "task")} again, ${counted(found.to_come.length, "task")} to come${
        waits ? "; it needs an approval" : ""}</p>`}
      ${found?.pauses_before.length > 0 && html`<p class="paused"><span aria-hidden="true">‖</span> It pauses before ${
        counted(found.pauses_before.length, "task")}: ${found.pauses_before.map(idText).join(", ")}.</p>`}
      <${Repeats} effects=${effects} repeat=${repeat} />
      ${waits && may("approve") && html`<label><input type="checkbox" checked=${approve.value}
        onChange=${(event) => (approve.value = event.currentTarget.checked)} /> approve it at once</label>`}
      <div class="buttons"><button class="primary" disabled=${busy.value || !found || !allowed(effects, repeat.value)}>Fork</button></div>
      <${Fault} fault=${trial.fault} /><${Fault} fault=${fault} />
    </form>`;
}

/** What differs from the arguments of the task, by TASK.FIELD. @param {string} text @param {any} spec */
function changesIn(text, spec) {
  if (!spec?.tool) return {};
  let wanted;
  try {
    wanted = parse(text);
  } catch (fault) {
    throw new Error(`The arguments are not JSON: ${fault.message}`);
  }
  const known = spec.tool.arguments || {};
  return Object.fromEntries(Object.entries(wanted)
    .filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(known[field]))
    .map(([field, value]) => [`${spec.id}.${field}`, value]));
}
