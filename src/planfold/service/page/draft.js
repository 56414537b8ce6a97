// A new plan: what is typed is checked and drawn at once, and nothing runs before it is submitted.

import { html, useEffect, useMemo, useSignal } from "./html.js";
import { go, planPath } from "./address.js";
import { Fault, Specs, useCommand } from "./decisions.js";
import { Graph } from "./graph.js";
import { ParameterFields, parameterOf, typedValues } from "./parameters.js";
import { may, post, session, write } from "./requests.js";
import { tagsIn, wordsIn } from "./tags.js";
import { counted, plain } from "./words.js";

const PAUSE_MS = 250; // after the last key
const KEPT = "planfold-draft";
const EXAMPLE = `# Hello

In parallel:

- Run \`echo hello\` {#hello}
- Run \`echo world\` {#world}

Then

1. Who reads it? {default=everybody}
2. Run \`echo $hello.stdout $world.stdout\``;

export function Draft() {
  const text = useSignal(sessionStorage.getItem(KEPT) || "");
  const found = useSignal(/** @type {any} */ (null));
  const faults = useSignal(/** @type {any[]} */ ([]));
  const approve = useSignal(false);
  const wish = useSignal(false);
  const declared = useSignal(/** @type {Record<string, any>} */ ({}));
  const values = useSignal(/** @type {Record<string, string>} */ ({}));
  const before = useSignal("");
  const tags = useSignal("");
  const projects = (session.value || { projects: [] }).projects || [];
  const project = useSignal(projects[0] || "");
  const { busy, fault, run } = useCommand(async () => {
    const body = { ...(project.value && { project: project.value }), approve: approve.value, tags: tagsIn(tags.value),
      ...(wish.value ? { wish: text.value }
        : { text: text.value, params: typedValues(declared.value, values.value), pause_before: wordsIn(before.value) }) };
    const receipt = await write("/v1/plans", body);
    sessionStorage.removeItem(KEPT);
    go(planPath(receipt.plan_id));
  });
  useEffect(() => void (document.title = "New plan · planfold"), []);
  useEffect(() => {
    sessionStorage.setItem(KEPT, text.value);
    const abort = new AbortController();
    const known = { found, faults, declared };
    const timer = setTimeout(() => check(wish.value ? "" : text.value, values.value, known, abort.signal), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text.value, wish.value, values.value]);
  const others = faults.value.filter((each) => !parameterOf(each, declared.value));
  const ready = text.value.trim() && (wish.value || (found.value && !faults.value.length));
  return html`
    <main class="draft">
      <form class="draft-form" onSubmit=${(event) => { event.preventDefault(); run(null); }}>
        <header class="list-head"><h1>New plan</h1></header>
        <label class="draft-label" for="plan-text">${wish.value
          ? "A wish, of which the service's model makes a plan"
          : "A plan as text, Markdown or JSON, or the name of a template"}</label>
        <textarea id="plan-text" data-search spellcheck="false" placeholder=${wish.value ? "" : EXAMPLE} value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)}></textarea>
        <${ParameterFields} declared=${wish.value ? {} : declared.value} values=${values.value} faults=${faults.value}
          onValues=${(those) => (values.value = those)} />
        <div class="draft-beside">
          ${!wish.value && html`<label>Pause before
            <input value=${before.value} placeholder="deploy, announce" onInput=${(event) => (before.value = event.currentTarget.value)} /></label>`}
          <label>Tags
            <input value=${tags.value} placeholder="nightly, team/storage" onInput=${(event) => (tags.value = event.currentTarget.value)} /></label>
        </div>
        <div class="buttons">
          <button class="primary" disabled=${!ready || busy.value || !may("write")}>${
            approve.value ? "Submit and run" : "Submit"}</button>
          ${may("approve") && html`<label><input type="checkbox" checked=${approve.value}
            onChange=${(event) => (approve.value = event.currentTarget.checked)} /> approve it at once</label>`}
          <label><input type="checkbox" checked=${wish.value}
            onChange=${(event) => (wish.value = event.currentTarget.checked)} /> let the model plan</label>
          ${projects.length > 1 && html`<label>in the project <select value=${project.value}
            onChange=${(event) => (project.value = event.currentTarget.value)}>
            ${projects.map((each) => html`<option key=${each}>${each}</option>`)}</select></label>`}
          ${!text.value && !wish.value && html`<button type="button" onClick=${() => (text.value = EXAMPLE)}>Use the example</button>`}
        </div>
        ${!may("write") && html`<p class="dim">Submitting needs the scope write.</p>`}
        <${Fault} fault=${fault} />
        ${others.length > 0 && html`
          <ul class="faults" role="alert">
            ${others.map((each, index) => html`<li key=${index}>${(each.task || each.field) && html`<strong>${
              [each.task && `task ${plain(each.task)}`, plain(each.field)].filter(Boolean).join(", ")}</strong>: `}${plain(each.message)}${each.fix && html` <span class="dim">(${plain(each.fix)})</span>`}</li>`)}
          </ul>`}
      </form>
      <section class="draft-preview" aria-label="Dry run">
        ${found.value ? html`<${Preview} found=${found.value} />`
          : html`<p class="empty">The graph and the exact commands appear here while you type.</p>`}
      </section>
    </main>`;
}

async function check(text, values, { found, faults, declared }, abort) {
  if (!text.trim()) {
    found.value = null;
    faults.value = [];
    declared.value = {};
    return;
  }
  try {
    const sketch = await sketched(text, typedValues(declared.value, values), values, abort);
    declared.value = sketch.params;
    faults.value = sketch.faults;
    if (!sketch.faults.length) found.value = sketch;
  } catch (fault) {
    if (!abort.aborted) faults.value = [{ message: fault.message }];
  }
}

/** With the values that the plan declares, which the text may have changed. */
async function sketched(text, params, values, abort) {
  const sketch = await post("/v1/plans/sketch", { text, params }, abort);
  const wanted = typedValues(sketch.params, values);
  return JSON.stringify(wanted) === JSON.stringify(params) ? sketch : sketched(text, wanted, values, abort);
}

function Preview({ found: { title, tasks: specs, notes, graph: drawing } }) {
  const selected = useSignal(/** @type {number | null} */ (null));
  const tasks = useMemo(() => new Map(specs.map((spec) => [spec.id, { ...spec, depends_on: spec.depends_on || [], items: [], status: "planned" }])), [specs]);
  return html`
    <p class="draft-facts"><strong>${plain(title)}</strong>
      <span class="dim"> ${counted(specs.length, "task")}, at most ${counted(drawing.critical.length, "task")} one after the other</span></p>
    <div class="draft-graph"><${Graph} ...${{ drawing, tasks, critical: new Set(drawing.critical),
      selected: selected.value, onSelect: (id) => (selected.value = id === selected.value ? null : id) }} /></div>
    <${Specs} specs=${specs} />
    ${notes.length > 0 && html`<h2>Not converted to tasks</h2>
      <ul class="notes">${notes.map((note, index) => html`<li key=${index}>${plain(note)}</li>`)}</ul>`}`;
}
