// The events of a plan: a line for each task, a line for each event, or the events as JSON.

import { html, useMemo, useSignal } from "./html.js";
import { tasksOf, wordsFor } from "./event_words.js";
import { Rows, rowId } from "./rows.js";
import { clock, idText, markOf, nameOf, plain } from "./words.js";

const ROW = 24;
const MODES = { compact: "By task", full: "Each event", json: "JSON" };
const LABEL = "Events";
const STYLES = {
  completed: "completed", failed: "failed", cancelled: "cancelled", asks: "needs_clarification",
  queued: "running", skipped: "skipped", "call failed": "failed",
};

/**
 * @param {{
 *   events: any[], tasks: Map<number, any>, selected: number | null, at: number | null,
 *   onSelect: (id: number | null) => void, onTravel: (version: number) => void,
 * }} props
 */
export function Events({ events, tasks, selected, at, onSelect, onTravel }) {
  const mode = useSignal("compact");
  const search = useSignal("");
  const chosen = useSignal(/** @type {number | null} */ (null)); // the version of an event
  const wanted = search.value.trim().toLowerCase();
  const lines = useMemo(
    () => (mode.value === "compact" ? byTask(events, tasks, at) : each(events, tasks, mode.value === "json")),
    [events, mode.value === "compact" ? tasks : null, mode.value, at],
  );
  const found = useMemo(
    () => (wanted ? lines.filter((line) => searched(line).includes(wanted)) : lines),
    [lines, wanted],
  );
  let shown = mode.value === "compact"
    ? found.findIndex((line) => line.task === selected && selected !== null)
    : found.findIndex((line) => line.version === chosen.value);
  if (shown < 0 && selected !== null) shown = found.findLastIndex((line) => line.task === selected);
  const choose = (line) => {
    chosen.value = line.version;
    onSelect(line.task);
  };
  const move = (step) => {
    const to = Math.min(Math.max(shown < 0 ? found.length - 1 : shown + step, 0), found.length - 1);
    if (found[to]) choose(found[to]);
  };
  const event = events.find((one) => one.version === chosen.value);
  return html`
    <div class="events">
      <div class="toolbar">
        <div class="choice" role="group" aria-label="How events are shown">
          ${Object.entries(MODES).map(([name, word]) => html`
            <button type="button" key=${name} aria-pressed=${mode.value === name}
              onClick=${() => (mode.value = name)}>${word}</button>`)}
        </div>
        <input type="search" aria-label="Search events" placeholder="Search" data-search
          value=${search.value} onInput=${(input) => (search.value = input.currentTarget.value)} />
      </div>
      <${Rows} key=${mode.value} count=${found.length} height=${ROW} label=${LABEL} shown=${shown} onMove=${move}
        tail=${mode.value !== "compact" && !wanted}
        row=${(index) => html`<${Line} key=${found[index].key} ...${{
          line: found[index], index, chosen: index === shown, choose,
          json: mode.value === "json", later: at !== null && found[index].version > at,
        }} />`} />
      ${!found.length && html`<p class="empty">${wanted ? "No event has this text." : "No events yet."}</p>`}
      ${event && mode.value !== "compact" && html`
        <div class="event-foot">
          <span class="dim">version ${event.version} · ${event.event_type}</span>
          <button type="button" onClick=${() => onTravel(event.version)}>Show the plan then</button>
          ${mode.value === "json" && html`<pre tabindex="0" aria-label="The event as JSON">${
            plain(JSON.stringify(event, null, 2))}</pre>`}
        </div>`}
    </div>`;
}

const searched = (line) =>
  (line.searched ??= `${line.verb} ${line.name} ${line.detail} ${line.json || ""}`.toLowerCase());

function nameIn(tasks, ids) {
  if (ids.length !== 1) return ids.length ? `${ids.length} tasks` : "";
  const task = tasks.get(ids[0]);
  return task ? nameOf(task) : idText(ids[0]);
}

function each(events, tasks, json) {
  return events.map((event) => {
    const ids = tasksOf(event);
    return {
      key: event.version, version: event.version, at: event.recorded_at,
      task: ids.length === 1 ? ids[0] : null, name: nameIn(tasks, ids), ...wordsFor(event),
      json: json ? plain(JSON.stringify(event.data)) : "",
    };
  });
}

/** The last event of each task, and those of the plan as a whole. */
function byTask(events, tasks, at) {
  const found = new Map();
  for (const event of events) {
    if (at !== null && event.version > at) break;
    const ids = tasksOf(event);
    const key = ids.length === 1 ? ids[0] : `plan ${event.version}`;
    const before = found.get(key);
    found.set(key, { event, ids, count: (before?.count || 0) + 1 });
  }
  return [...found].map(([key, { event, ids, count }]) => ({
    key, version: event.version, at: event.recorded_at, count,
    task: ids.length === 1 ? ids[0] : null, name: nameIn(tasks, ids), ...wordsFor(event),
  }));
}

function Line({ line, index, chosen, choose, json, later }) {
  const style = STYLES[line.verb];
  const kind = ["row", "event", chosen && "is-chosen", later && "is-later"].filter(Boolean).join(" ");
  return html`
    <div class=${kind} style=${{ top: `${index * ROW}px`, height: `${ROW}px` }} role="option"
        id=${rowId(LABEL, index)} aria-selected=${chosen} data-version=${line.version}
        onClick=${() => choose(line)}>
      <time class="dim">${clock(line.at)}</time>
      <span class=${style ? `verb is-${style}` : "verb"}>
        <span class="mark" aria-hidden="true">${style ? markOf(style) : ""}</span>${line.verb}</span>
      <span class="event-text">
        ${line.name && html`<span class="event-name">${plain(line.name)}</span> `}
        ${json ? html`<code>${line.json}</code>` : line.detail}
      </span>
    </div>`;
}
