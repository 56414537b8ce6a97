// One plan: graph, timeline and events, which show the same tasks. What is selected in one is
// selected in all of them.

import { html, useEffect, useMemo, useSignal } from "./html.js";
import { address, ask, planPath } from "./address.js";
import { PlanPause, pauseWords, pausedBefore } from "./by_hand.js";
import { PlanChanges } from "./changes.js";
import { Approval, Deed, Question } from "./decisions.js";
import { Details } from "./details.js";
import { Events } from "./events.js";
import { tasksOf } from "./event_words.js";
import { Graph } from "./graph.js";
import { onKeys } from "./keyboard.js";
import { PlanState } from "./plan_state.js";
import { Scrubber } from "./scrubber.js";
import { Tags } from "./tags.js";
import { Timeline } from "./timeline.js";
import { FIRST_SEEN, PLAN_ENDED, Status, counted, countsOf, idText, mapOf, plain } from "./words.js";

const PANES = { graph: "Graph", timeline: "Timeline", events: "Events" };

/** @param {{id: string}} props */
export function Plan({ id }) {
  const state = useMemo(() => new PlanState(id), [id]);
  useEffect(() => () => state.end(), [state]);
  const query = address.value.query;
  const at = Number(query.get("version")) || null;
  useEffect(() => state.travel(at), [state, at]);

  const view = state.view.value;
  const tasks = state.tasks.value;
  const asked = query.get("task");
  const selected = useMemo(() => idOf(tasks, asked), [tasks, asked]);
  const select = (task) => ask({ task }, true);
  const travel = (version) => ask({ version }, true);
  useEffect(() => onKeys({
    j: () => select(next(state.graph.value, selected, 1)),
    k: () => select(next(state.graph.value, selected, -1)),
    Escape: () => (selected !== null ? select(null) : at !== null && travel(null)),
  }), [state, selected, at]);
  useEffect(() => {
    document.title = view ? `${plain(view.title) || id} · planfold` : "planfold";
  }, [view?.title]);

  if (!view) {
    return html`<main class="message"><h1>${plain(id)}</h1>
      <p role="status">${plain(state.fault.value) || "Reading the plan …"}</p></main>`;
  }
  return html`<${Board} ...${{ id, state, view, tasks, selected, select, at, travel }} />`;
}

function Board({ id, state, view, tasks, selected, select, at, travel }) {
  const pane = useSignal("graph");
  const graph = state.graph.value;
  const timeline = state.timeline.value;
  const events = state.events.value;
  const critical = useMemo(
    () => new Set(timeline?.critical.length ? timeline.critical.map(([task]) => task) : graph?.critical),
    [graph, timeline],
  );
  const last = useMemo(() => lastAbout(events, selected), [events, selected]);
  const task = selected === null ? null : tasks.get(selected);
  const among = useMemo(() => amongOf(graph, tasks, selected), [graph, tasks, selected]);
  const changes = useSignal(false);
  const present = at === null;
  return html`
    <main class=${`plan shows-${pane.value}${present ? "" : " is-past"}`} data-version=${view.version}
        style=${{ "--graph-height": `${graph ? graph.height + 8 : 120}px` }}>
      <${Head} ...${{ id, view, tasks, present, changes }} />
      <${Scrubber} ...${{ plan: id, at, latest: state.latest.value, events, onTravel: travel }} />
      ${state.fault.value && html`<p class="fault" role="alert">${plain(state.fault.value)}</p>`}
      <aside class="side" aria-label="Decisions and details">
        ${present && changes.value && html`<${PlanChanges} plan=${id} view=${view} onClose=${() => (changes.value = false)} />`}
        ${present && view.status === "awaiting_approval" && html`<${Approval} plan=${id} revision=${view.revision_hash} before=${pausedBefore(view.tasks)} />`}
        ${present && view.questions.map((question) => html`
          <${Question} key=${question.task_id} plan=${id} task=${String(question.task_id)} question=${question} heading="h2"
            title=${plain(tasks.get(question.task_id)?.label || `task ${idText(question.task_id)}`)} />`)}
        ${task && html`<${Details} key=${selected} plan=${id} id=${selected} version=${last}
          ...${{ task, at, events, status: view.status, timeline, tasks, among, onSelect: select }} />`}
      </aside>
      <nav class="pane-tabs" aria-label="Panes">
        ${Object.entries(PANES).map(([name, word]) => html`
          <button type="button" key=${name} aria-pressed=${pane.value === name}
            onClick=${() => (pane.value = name)}>${word}</button>`)}
      </nav>
      <section class="pane pane-graph" aria-label="Graph">
        ${graph && html`<${Graph} drawing=${graph} ...${{ tasks, critical, selected, onSelect: select }} />`}
      </section>
      <section class="pane pane-timeline" aria-label="Timeline">
        ${graph && timeline && html`<${Timeline} drawing=${graph} ...${{ timeline, tasks, selected, onSelect: select }} />`}
      </section>
      <section class="pane pane-events" aria-label="Events">
        <${Events} ...${{ events, tasks, selected, at, onSelect: select, onTravel: travel }} />
      </section>
    </main>`;
}

function Head({ id, view, tasks, present, changes }) {
  const those = view.tasks.filter((task) => !task.superseded && task.undoes === null).flatMap((task) => [task, ...task.items]);
  const counts = countsOf(those);
  const total = those.length;
  const done = those.filter((task) => task.status === "completed").length;
  return html`
    <header class="plan-head">
      <div class="plan-title">
        <h1>${plain(view.title) || plain(id)}</h1>
        <p class="plan-facts">
          <span aria-live="polite"><${Status} of=${view.status} /></span>
          <span class="numbers">${done} of ${counted(total, "task")}</span>
          <span class="dim">${plain(id)}</span>
          ${view.parent && html`<span class="dim">sub-plan of <a href=${planPath(view.parent.plan_id)}>${
            plain(view.parent.plan_id)}</a>, task ${idText(view.parent.task_id)}</span>`}
          ${view.origin && html`<span class="dim">fork of <a href=${planPath(view.origin, `?version=${view.origin_version}`)}>${
            plain(view.origin)} at version ${view.origin_version}</a></span>`}
          ${view.occurrence && html`<span class="dim">for <time datetime=${view.occurrence}>${plain(view.occurrence)}</time></span>`}
          ${view.paused && html`<span class="paused">paused ${plain(pauseWords(view.paused))}</span>`}
          ${view.spent.tokens > 0 && html`<span class="dim">${view.spent.tokens.toLocaleString("en")} tokens</span>`}
          <${Tags} tags=${view.tags} />
        </p>
      </div>
      <div class="progress" role="img" aria-label="${done} of ${total} completed">
        ${FIRST_SEEN.toReversed().filter((status) => counts.get(status)).map((status) => html`
          <span key=${status} class="bar is-${status}" style=${{ flexGrow: counts.get(status) }}></span>`)}
      </div>
      ${present && html`<div class="buttons">
        <button type="button" aria-expanded=${changes.value}
          onClick=${() => (changes.value = !changes.value)}>Change the plan …</button>
        <${PlanPause} key="pause" plan=${id} view=${view} tasks=${tasks} />
        ${!PLAN_ENDED.has(view.status) && view.status !== "awaiting_approval" && html`
          <${Deed} key="cancel" word="Cancel the plan" sure="Cancel all of it" plan=${id} name="cancel" />`}
      </div>`}
    </header>`;
}

/**
 * @param {Map<number, any>} tasks
 * @param {string | null} asked an id or a label; of an item also 3[0] or pay[0]
 * @returns {number | null}
 */
function idOf(tasks, asked) {
  if (!asked) return null;
  if (tasks.has(Number(asked))) return Number(asked);
  const [, map, place] = /^(.+)(\[\d+\])$/.exec(asked) || [];
  const name = map && `${idOf(tasks, map)}${place}`;
  for (const task of tasks.values()) if (task.label === asked || idText(task.id) === name) return task.id;
  return null;
}

/** The tasks behind the same node as the selected one: of a map its items. */
function amongOf(graph, tasks, selected) {
  const map = tasks.get(mapOf(selected)) || tasks.get(selected);
  if (map?.items.length) return { tasks: map.items, what: "items" };
  const [ids] = graph?.nodes.find(([each]) => each.includes(selected)) || [[]];
  return { tasks: ids.map((id) => tasks.get(id)).filter(Boolean), what: "tasks" };
}

/** The task after the selected one, in reading order. */
function next(graph, selected, step) {
  if (!graph?.nodes.length) return null;
  const at = graph.nodes.findIndex(([ids]) => ids.includes(selected) || ids.includes(mapOf(selected)));
  const to = at < 0 ? 0 : Math.min(Math.max(at + step, 0), graph.nodes.length - 1);
  return graph.nodes[to][0][0];
}

function lastAbout(events, id) {
  const event = id === null ? null : events.findLast((each) => tasksOf(each).includes(id));
  return event ? event.version : 0;
}
