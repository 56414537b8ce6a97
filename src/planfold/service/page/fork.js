// A fork: another plan that continues this one from a version on, perhaps with other arguments.

import { html, useEffect, useSignal } from "./html.js";
import { go, planPath } from "./address.js";
import { Fault, useCommand } from "./decisions.js";
import { may, post, write } from "./requests.js";
import { counted, idText, plain } from "./words.js";

const PAUSE_MS = 250;

/**
 * `at` is a version, or the id of a task as a text: the version before that task began. `spec` is that task.
 * @param {{plan: string, at: number | string, spec?: any}} props
 */
export function ForkButton({ plan, at, spec }) {
  const asked = useSignal(false);
  if (!may("write")) return null;
  return html`
    <button type="button" aria-expanded=${asked.value} onClick=${() => (asked.value = !asked.value)}>Fork from here …</button>
    ${asked.value && html`<${Fork} ...${{ plan, at, spec }} />`}`;
}

function Fork({ plan, at, spec }) {
  const path = `/v1/plans/${encodeURIComponent(plan)}/fork`;
  const text = useSignal(JSON.stringify(spec?.tool?.arguments || {}, null, 2));
  const preview = useSignal(/** @type {any} */ (null));
  const repeat = useSignal(/** @type {string[]} */ ([]));
  const approve = useSignal(false);
  const { busy, fault, run } = useCommand(async () => {
    const body = { at, changes: changesIn(text.value, spec), repeat: repeat.value, approve: approve.value };
    go(planPath((await write(path, body)).plan_id));
  });
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        preview.value = await post(`${path}/preview`, { at, changes: changesIn(text.value, spec) }, abort.signal);
        fault.value = "";
      } catch (problem) {
        if (abort.signal.aborted) return;
        preview.value = null;
        fault.value = problem.message;
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [plan, at, text.value]);
  const found = preview.value;
  const effects = (found?.effects || []).filter((effect) => effect.effect === "once");
  const left = effects.filter((effect) => !repeat.value.includes(keyOf(effect)));
  const tick = (effect, on) =>
    (repeat.value = on ? [...repeat.value, keyOf(effect)] : repeat.value.filter((each) => each !== keyOf(effect)));
  return html`
    <form class="card fork" aria-label="Fork" onSubmit=${(event) => { event.preventDefault(); run(null); }}>
      <p>Another plan continues this one${found && ` at version ${found.version}`}. This one stays as it is.</p>
      ${spec?.tool && html`<label>Arguments of ${plain(spec.label || `task ${idText(spec.id)}`)} in the fork
        <textarea rows="4" spellcheck="false" value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea></label>`}
      ${found && html`<p class="dim">${counted(found.again.length, "task")} again, ${counted(found.to_come.length, "task")} to come${
        found.waits_for_approval || found.origin_waits ? "; it needs an approval" : ""}</p>`}
      ${effects.map((effect) => html`<label key=${keyOf(effect)}><input type="checkbox"
        checked=${repeat.value.includes(keyOf(effect))} disabled=${!may("approve")}
        onChange=${(event) => tick(effect, event.currentTarget.checked)} /> ${
        plain(effect.label || `task ${idText(effect.task_id)}`)} may happen again (it ${effect.status === "completed" ? "happened" : "may have happened"})</label>`)}
      ${found && may("approve") && (found.waits_for_approval || found.origin_waits) && html`<label><input type="checkbox" checked=${approve.value}
        onChange=${(event) => (approve.value = event.currentTarget.checked)} /> approve it at once</label>`}
      <div class="buttons"><button class="primary" disabled=${busy.value || !found || left.length > 0}>Fork</button></div>
      <${Fault} fault=${fault} />
    </form>`;
}

const keyOf = (effect) => String(effect.task_id);

/** What differs from the arguments of the task, by TASK.FIELD. @param {string} text @param {any} spec */
function changesIn(text, spec) {
  if (!spec?.tool) return {};
  let wanted;
  try {
    wanted = JSON.parse(text);
  } catch (fault) {
    throw new Error(`The arguments are not JSON: ${fault.message}`);
  }
  const known = spec.tool.arguments || {};
  return Object.fromEntries(Object.entries(wanted)
    .filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(known[field]))
    .map(([field, value]) => [`${spec.id}.${field}`, value]));
}
