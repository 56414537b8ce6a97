// The graph of a plan. The service says where everything is, so nothing moves while states change.
// Only what is in sight is in the document.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { pausedBefore } from "./by_hand.js";
import { FIRST_SEEN, Status, counted, countsOf, mapOf, markOf, nameOf, plain, shownAs, wordOf } from "./words.js";

const SCALES = [0.35, 0.5, 0.7, 0.85, 1];
const LEAST = 0.8; // below it, texts are too small to read at a glance
const EXTRA = 300; // pixels around what is in sight
const SHADOW = 6;

/**
 * @param {{
 *   drawing: any, tasks: Map<number, any>, critical: Set<number>, selected: number | null,
 *   onSelect: (id: number) => void,
 * }} props
 */
export function Graph({ drawing, tasks, critical, selected, onSelect }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [scale, setScale] = useState(0);
  const [sight, setSight] = useState({ left: 0, top: 0, right: 2000, bottom: 1500 });
  const nodeOf = useMemo(() => {
    const found = new Map();
    drawing.nodes.forEach(([ids], number) => ids.forEach((id) => found.set(id, number)));
    return found;
  }, [drawing]);
  const own = nodeOf.get(selected) ?? nodeOf.get(mapOf(selected)); // an item is in the box of its map
  const near = useMemo(() => neighbours(drawing, own), [drawing, own]);
  const shown = scale || fitting(drawing, box.current);

  const look = () => {
    const element = box.current;
    if (!element) return;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = element;
    const at = scale || fitting(drawing, element);
    setSight({
      left: scrollLeft / at - EXTRA,
      top: scrollTop / at - EXTRA,
      right: (scrollLeft + clientWidth) / at + EXTRA,
      bottom: (scrollTop + clientHeight) / at + EXTRA,
    });
  };
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [drawing, scale]);

  // A task that was chosen elsewhere comes into sight.
  useEffect(() => {
    const element = box.current;
    if (!element || own === undefined) return;
    const [, x, y, height] = drawing.nodes[own];
    const [left, top] = [x * shown, y * shown];
    const [width, tall] = [drawing.node_width * shown, height * shown];
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = element;
    const apart =
      left < scrollLeft || top < scrollTop ||
      left + width > scrollLeft + clientWidth || top + tall > scrollTop + clientHeight;
    if (apart)
      element.scrollTo({ left: left - (clientWidth - width) / 2, top: top - (clientHeight - tall) / 2 });
  }, [own, nodeOf]);

  const inSight = ([, x, y, height]) =>
    x < sight.right && x + drawing.node_width > sight.left && y < sight.bottom && y + height > sight.top;
  const keys = (event) => {
    const to = target(event.key, drawing, own ?? -1);
    if (to === null) return;
    event.preventDefault();
    onSelect(drawing.nodes[to][0][0]);
    requestAnimationFrame(() => {
      const entry = box.current?.querySelector("[tabindex='0'].node");
      if (entry instanceof HTMLElement) entry.focus();
    });
  };
  const numbers = [...drawing.nodes.keys()].filter((number) => inSight(drawing.nodes[number]));
  const fits = box.current && scale === 0 && shown === 1 && drawing.height <= box.current.clientHeight;
  const entry = near && numbers.includes(near.own) ? near.own : numbers[0];
  return html`
    <div class="graph">
      <div class="graph-scroll" ref=${box} onKeyDown=${keys} role="group" tabindex="-1"
          aria-label="Graph: ${counted(nodeOf.size, "task")}">
        <div class="graph-space" style=${{ width: `${drawing.width * shown}px`, height: `${drawing.height * shown}px` }}>
          <div class="graph-sheet" style=${{ transform: `scale(${shown})` }}>
            <${Edges} ...${{ drawing, sight, critical, near }} />
            ${numbers.map((number) => html`<${Node} key=${number} ...${{
              node: drawing.nodes[number], width: drawing.node_width, tasks, critical, onSelect,
              chosen: near?.own === number, dim: near !== null && !near.nodes.has(number),
              entry: number === entry,
            }} />`)}
          </div>
        </div>
      </div>
      ${!fits && html`<${Zoom} scale=${shown} onScale=${setScale} />`}
    </div>`;
}

/** As large as is legible, so that the width fits where it can. */
function fitting(drawing, element) {
  const room = element?.clientWidth || 900;
  return Math.min(1, Math.max(LEAST, (room - 4) / drawing.width));
}

const Zoom = ({ scale, onScale }) => {
  const at = SCALES.findLastIndex((each) => each <= scale + 0.01);
  return html`
    <div class="zoom">
      <button type="button" aria-label="Smaller" disabled=${at <= 0}
        onClick=${() => onScale(SCALES[at - 1])}>−</button>
      <button type="button" aria-label="Fit the width" onClick=${() => onScale(0)}>fit</button>
      <button type="button" aria-label="Larger" disabled=${at >= SCALES.length - 1}
        onClick=${() => onScale(SCALES[at + 1])}>+</button>
    </div>`;
};

/** The nodes and edges next to the node that is chosen. */
function neighbours(drawing, own) {
  if (own === undefined) return null;
  const nodes = new Set([own]);
  for (const [parent, child] of drawing.edges) {
    if (parent === own) nodes.add(child);
    if (child === own) nodes.add(parent);
  }
  return { own, nodes };
}

/** Where an arrow key leads from a node. */
function target(key, drawing, from) {
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)) return null;
  if (from < 0) return 0;
  const { nodes, edges } = drawing;
  if (key === "ArrowLeft") return edges.find(([, child]) => child === from)?.[0] ?? null;
  if (key === "ArrowRight") return edges.find(([parent]) => parent === from)?.[1] ?? null;
  const [, x, y] = nodes[from];
  const down = key === "ArrowDown";
  let found = null;
  nodes.forEach(([, left, top], number) => {
    if (left !== x || (down ? top <= y : top >= y)) return;
    if (found === null || Math.abs(top - y) < Math.abs(nodes[found][2] - y)) found = number;
  });
  return found;
}

function Edges({ drawing, sight, critical, near }) {
  const { nodes, edges, width, height, node_width: wide } = drawing;
  const bold = (number) => nodes[number][0].some((id) => critical.has(id));
  const drawn = edges.filter(([parent, child]) => {
    const [, x, y, tall] = nodes[parent];
    const [, toX, toY, toTall] = nodes[child];
    const across = toX <= x; // into the next band, along its whole width
    return (
      Math.max(y + tall, toY + toTall) > sight.top && Math.min(y, toY) < sight.bottom &&
      (across || (Math.max(x, toX) > sight.left && x + wide < sight.right))
    );
  });
  const kind = (parent, child) => {
    if (near && (near.own === parent || near.own === child)) return "edge is-near";
    if (near) return "edge is-far";
    return bold(parent) && bold(child) ? "edge is-critical" : "edge";
  };
  return html`
    <svg class="edges" width=${width} height=${height} aria-hidden="true">
      <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"
        markerUnits="userSpaceOnUse"><path class="tip" d="M0 0.5L8 4L0 7.5z" /></marker></defs>
      ${drawn.map(([parent, child, path]) => html`
        <path key=${`${parent}-${child}`} class=${kind(parent, child)} d=${path} marker-end="url(#tip)" />`)}
    </svg>`;
}

function Node({ node, width, tasks, critical, onSelect, chosen, dim, entry }) {
  const [ids, x, y, height, what] = node;
  const place = { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height - (ids.length > 1 ? SHADOW : 0)}px` };
  const own = ids.map((id) => tasks.get(id)).filter(Boolean);
  if (!own.length) return null;
  const counts = countsOf(own);
  const status = FIRST_SEEN.find((each) => counts.get(each)) || "planned";
  const kind = [
    "node", `is-${status}`,
    ids.length > 1 && "is-counted",
    ids.some((id) => critical.has(id)) && "is-critical",
    chosen && "is-chosen", dim && "is-dim",
    own.every((task) => task.superseded) && "is-superseded",
  ].filter(Boolean).join(" ");
  const [task] = own;
  const pauses = pausedBefore(own).length > 0;
  const first = own.find((each) => shownAs(each) === status) || task; // the one to look at
  return html`
    <button type="button" class=${kind} style=${place} tabindex=${entry ? 0 : -1}
        aria-pressed=${chosen} data-task=${task.id} title=${plain(task.description)} onClick=${() => onSelect(first.id)}>
      ${ids.length > 1
        ? html`<${Fan} ...${{ own, counts, what, pauses }} />`
        : html`
          <span class="node-head">
            <span class="node-name">${plain(nameOf(task))}</span>
            ${pauses && html`<${PauseMark} />`}
            <${Status} of=${status} />
          </span>
          ${task.items.length
            ? html`<${Counts} counts=${countsOf(task.items)} of=${counted(task.items.length, "item")} />`
            : html`<span class="node-text">${plain(task.note || task.description)}</span>`}`}
    </button>`;
}

/** That the plan pauses before a task. */
const PauseMark = () => html`<span class="pause-mark" role="img" aria-label="pauses before it" title="pauses before it">‖</span>`;

function Counts({ counts, of = "" }) {
  const present = FIRST_SEEN.filter((each) => counts.get(each));
  return html`
    <span class="node-counts">
      ${of && html`<span>${of}</span>`}
      ${present.map((status) => html`<span key=${status} class="status is-${status}">
        <span class="mark" aria-hidden="true">${markOf(status)}</span>${counts.get(status).toLocaleString("en")}${
          !of && present.length < 3 ? ` ${wordOf(status)}` : ""}</span>`)}
    </span>`;
}

function Fan({ own, counts, what, pauses }) {
  const [task] = own;
  const present = FIRST_SEEN.filter((each) => counts.get(each));
  return html`
    <span class="node-head">
      <span class="node-name">${own.length.toLocaleString("en")} × ${plain(what)}</span>
      ${pauses && html`<${PauseMark} />`}
      <span class="node-range">${task.id} … ${own[own.length - 1].id}</span>
    </span>
    <span class="node-text">${plain(task.description)}</span>
    <${Counts} counts=${counts} />
    <span class="node-bar" aria-hidden="true">
      ${present.map((status) => html`<span key=${status} class="bar is-${status}"
        style=${{ flexGrow: counts.get(status) }}></span>`)}
    </span>`;
}
