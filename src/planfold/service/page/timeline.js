// The timeline of a plan: a row for each node of the graph, its attempts and waits as segments.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Rows, rowId } from "./rows.js";
import { timeScale } from "./time_scale.js";
import { FIRST_SEEN, Status, countsOf, duration, mapOf, markOf, nameOf, phaseWord, plain, shownAs } from "./words.js";

const ROW = 24;
const HIGH_ROW = 34; // where all rows have room
const FEW = 12; // rows
const TAIL = 132; // for the words behind a row
const LABEL = "Timeline";
const QUEUED = new Set(["worker", "plan_limit", "route_limit", "map_limit"]);
const RAN = new Set(["running", "stopping", "items"]);
const SEGMENTS = 60; // of one row; a fan-out with more is drawn by how many run

/** The time, again and again while `live`. */
function useNow(live, ahead) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!live) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 200);
    return () => clearInterval(timer);
  }, [live]);
  return now + ahead;
}

/**
 * @param {{
 *   timeline: any, drawing: any, tasks: Map<number, any>, selected: number | null,
 *   onSelect: (id: number) => void,
 * }} props
 */
export function Timeline({ timeline, drawing, tasks, selected, onSelect }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(600);
  const lasting = timeline.spans.some(([, , , end]) => end === null);
  const now = Math.max(useNow(timeline.live && lasting, timeline.ahead), timeline.now);
  const end = timeline.live && lasting ? now : timeline.now;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const sizes = new ResizeObserver(() => setWidth(element.clientWidth));
    sizes.observe(element);
    return () => sizes.disconnect();
  }, []);

  const rows = useMemo(() => rowsOf(timeline, drawing), [timeline, drawing]);
  const names = width < 560 ? 120 : 190;
  const scale = useMemo(() => {
    const busy = timeline.spans
      .filter(([, phase]) => RAN.has(phase))
      .map(([, , from, to]) => /** @type {[number, number]} */ ([from, to ?? end]));
    return timeScale(busy, timeline.start, Math.max(end, timeline.start + 0.001), width - names - TAIL - 16);
  }, [timeline, width, end]);
  const height = rows.length > FEW ? ROW : HIGH_ROW;
  const shown = rowOf(rows, selected);
  const move = (step) => {
    const to = Math.min(Math.max(shown + step, 0), rows.length - 1);
    if (rows[to]) onSelect(rows[to].ids[0]);
  };
  return html`
    <div class="timeline" ref=${box} style=${{ "--names": `${names}px` }}>
      <div class="axis" aria-hidden="true">
        ${scale.ticks().map(({ place, seconds }) => html`
          <span class="tick" key=${seconds} style=${{ left: `${place}px` }}>${offset(seconds)}</span>`)}
        ${scale.gaps.map((gap) => html`
          <span class="tick is-gap" key=${`gap ${gap.left}`} style=${{ left: `${gap.left}px` }}
            title="Nothing ran for ${duration(gap.seconds)}">≈${duration(gap.seconds)}</span>`)}
      </div>
      <${Rows} count=${rows.length} height=${height} label=${LABEL} shown=${shown} onMove=${move}
        row=${(index) => html`<${Row} key=${index} ...${{
          index, height, row: rows[index], scale, end, tasks, onSelect, chosen: index === shown,
        }} />`} />
      <${Legend} />
    </div>`;
}

/** The row of a task; an item is in that of its map. */
function rowOf(rows, selected) {
  const at = (id) => rows.findIndex((row) => row.ids.includes(id));
  const own = at(selected);
  return own < 0 && selected !== null ? at(mapOf(selected)) : own;
}

const offset = (seconds) =>
  seconds === 0 ? "0" : seconds < 60 ? `${+seconds.toFixed(2)} s` : duration(seconds).replace(/ 0 (s|min)$/, "");

function rowsOf(timeline, drawing) {
  const spans = new Map();
  for (const span of timeline.spans) {
    const id = mapOf(span[0]) || span[0]; // items are in the row of their map
    if (!spans.has(id)) spans.set(id, []);
    spans.get(id).push(span);
  }
  for (const [id, own] of spans)
    if (own.some(([task]) => mapOf(task))) spans.set(id, own.filter(([, phase]) => phase !== "items"));
  return drawing.nodes.map(([ids]) => ({ ids, spans: ids.flatMap((id) => spans.get(id) || []) }));
}

function Row({ index, height, row, scale, end, tasks, onSelect, chosen }) {
  const own = row.ids.map((id) => tasks.get(id)).filter(Boolean);
  const [task] = own;
  if (!task) return null;
  const fan = own.length > 1 || task.items.length > 1;
  const ran = row.spans
    .filter(([, phase]) => RAN.has(phase))
    .reduce((sum, [, , from, to]) => sum + (to ?? end) - from, 0);
  const last = row.spans.length ? Math.max(...row.spans.map(([, , , to]) => scale.at(to ?? end))) : 0;
  const name = own.length > 1 ? `${own.length} × ${task.label || task.description}` : nameOf(task);
  const counts = countsOf(own);
  const status = FIRST_SEEN.find((each) => counts.has(each)) || task.status;
  const segments = own.length > 1 || row.spans.length > SEGMENTS ? crowd(row.spans, end) : row.spans.map((span) => ({ span, share: 1 }));
  return html`
    <div class=${chosen ? "row is-chosen" : "row"} style=${{ top: `${index * height}px`, height: `${height}px` }}
        role="option" id=${rowId(LABEL, index)} aria-selected=${chosen} data-task=${task.id}
        onClick=${() => onSelect(task.id)}>
      <span class="row-name" title=${plain(task.description)}>
        <span class="mark is-${status}" aria-hidden="true">${markOf(status)}</span>
        ${plain(name)}${!fan && !task.label && html` <span class="dim">${plain(task.description)}</span>`}
      </span>
      <span class="track">
        ${scale.gaps.map((gap) => html`<span class="gap" key=${gap.left}
          style=${{ left: `${gap.left}px`, width: `${gap.width}px` }}></span>`)}
        ${segments.map(({ span, share }, number) => html`<${Segment} key=${number} ...${{ span, share, scale, end }} />`)}
        <span class="tail" style=${{ left: `${last + 6}px` }}>
          ${fan ? html`<span class="dim">${duration(ran)} in all</span>`
            : html`<${Status} of=${shownAs(task)} word=${!ran || task.undone} />${ran > 0 && html` <span class="dim">${duration(ran)}</span>`}`}
        </span>
      </span>
    </div>`;
}

function Segment({ span: [, phase, from, to, attempt, failed], share, scale, end }) {
  const left = scale.at(from);
  const width = Math.max(scale.at(to ?? end) - left, RAN.has(phase) ? 2 : 1);
  const kind = QUEUED.has(phase) ? "is-queued" : phase === "stopping" ? "is-stopping"
    : phase === "running" || phase === "items" ? (to === null ? "is-running" : failed ? "is-failed" : "is-ran") : "is-waiting";
  const many = attempt > 1 ? `, attempt ${attempt}` : "";
  const title = `${to === null && phase === "running" ? "runs" : phaseWord(phase)} ${duration((to ?? end) - from)}${many}`;
  return html`<span class="segment ${kind}" title=${title}
    style=${{ left: `${left}px`, width: `${width}px`, opacity: share < 1 ? String(0.25 + 0.75 * share) : undefined }}>${
      attempt > 1 && width > 16 && phase === "running" ? attempt : ""}</span>`;
}

/** Of a fan-out: how many of its tasks run over time, darker where there are more. */
function crowd(spans, end) {
  const ran = spans.filter(([, phase]) => RAN.has(phase));
  const changes = new Map();
  for (const [, , from, to] of ran) {
    changes.set(from, (changes.get(from) || 0) + 1);
    changes.set(to ?? end, (changes.get(to ?? end) || 0) - 1);
  }
  const times = [...changes.keys()].sort((a, b) => a - b);
  let count = 0;
  const steps = times.map((time, index) => {
    count += changes.get(time);
    return { from: time, to: times[index + 1], count };
  }).filter((step) => step.count > 0 && step.to !== undefined);
  const most = Math.max(...steps.map((step) => step.count), 1);
  const width = Math.ceil(steps.length / 200); // no more parts than can be seen
  const found = [];
  for (let first = 0; first < steps.length; first += width) {
    const part = steps.slice(first, first + width);
    const share = Math.max(...part.map((step) => step.count)) / most;
    const lasts = part[part.length - 1].to === end && ran.some(([, , , to]) => to === null);
    found.push({ span: [0, "running", part[0].from, lasts ? null : part[part.length - 1].to, 1], share });
  }
  return found;
}

const Legend = () => html`
  <p class="legend" aria-hidden="true">
    <span><span class="segment is-ran"></span> ran</span>
    <span><span class="segment is-running"></span> runs</span>
    <span><span class="segment is-failed"></span> failed</span>
    <span><span class="segment is-queued"></span> queued</span>
    <span><span class="segment is-waiting"></span> waits for a person or a retry</span>
    <span><span class="gap"></span> nothing ran; shortened</span>
  </p>`;
