// What a task asked and what people answered; and another answer, with what would happen again.

import { html, useSignal } from "./html.js";
import { Fault, useCommand } from "./decisions.js";
import { Repeats, allowed, needConsent, useTrial } from "./repeats.js";
import { may, write } from "./requests.js";
import { counted, plain } from "./words.js";

/** @param {{plan: string, id: number, at: number | null, found: any, task: any}} props */
export function Answers({ plan, id, at, found, task }) {
  const changes = useSignal(false);
  const asks = found.spec.kind === "clarification" && !found.spec.for_each;
  const open = asks && task.status === "completed" && at === null && may("approve");
  return html`
    ${found.asked.map((question, index) => html`
      <dt>Asked</dt><dd>${plain(question)} <strong>${plain(found.answers[index] ?? "")}</strong></dd>`)}
    ${open && html`
      <dt>Answer</dt>
      <dd>
        <button type="button" aria-expanded=${changes.value}
          onClick=${() => (changes.value = !changes.value)}>Change the answer …</button>
        ${changes.value && html`<${OtherAnswer} plan=${plan} id=${id} known=${found.task.result}
          choices=${found.spec.prompt?.choices || []} onDone=${() => (changes.value = false)} />`}
      </dd>`}`;
}

function OtherAnswer({ plan, id, known, choices, onDone }) {
  const text = useSignal("");
  const repeat = useSignal(/** @type {string[]} */ ([]));
  const other = text.value !== "" && text.value !== known;
  const trial = useTrial(plan, () => (other ? { answers: { [id]: text.value } } : null), [id, text.value]);
  const { busy, fault, run } = useCommand(() =>
    write(`/v1/plans/${encodeURIComponent(plan)}/change-answer`,
      { task: String(id), answer: text.value, repeat: repeat.value }));
  const found = trial.found.value;
  // Other tasks that run now would begin again in a fork only.
  const again = new Set(found?.again);
  const effects = needConsent(found?.effects || []).filter((effect) => again.has(effect.task_id));
  const submit = async (event) => {
    event.preventDefault();
    if (await run(null)) onDone();
  };
  const choose = (answer) => (text.value = answer);
  return html`
    <form class="other-answer" aria-label="Another answer" onSubmit=${submit}>
      ${choices.length > 0
        ? html`<div class="choice" role="group" aria-label="New answer">${choices.map((choice) => html`
            <button type="button" key=${choice} disabled=${choice === known} aria-pressed=${text.value === choice}
              onClick=${() => choose(choice)}>${plain(choice)}</button>`)}</div>`
        : html`<input aria-label="New answer" required value=${text.value}
            onInput=${(event) => choose(event.currentTarget.value)} />`}
      ${found && html`<p class="dim">${again.size ? `${counted(again.size, "task")} that ${
        again.size === 1 ? "depends" : "depend"} on it ${again.size === 1 ? "runs" : "run"} again.` : "No task has run that depends on it."}</p>`}
      <${Repeats} effects=${effects} repeat=${repeat} />
      <div class="buttons"><button class="primary"
        disabled=${busy.value || !found || !allowed(effects, repeat.value)}>Change it</button></div>
      <${Fault} fault=${trial.fault} /><${Fault} fault=${fault} />
    </form>`;
}
