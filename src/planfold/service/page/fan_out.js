// The tasks behind one node: the items of a map, or the tasks of a fan-out. Their order is that of
// their ids, so no row moves while states change; a status narrows the list.

import { html, useMemo, useSignal } from "./html.js";
import { Rows, rowId } from "./rows.js";
import { FIRST_SEEN, Status, countsOf, markOf, nameOf, plain, shownAs, wordOf } from "./words.js";

const ROW = 26;
const MOST_ROWS = 8; // in sight

/**
 * @param {{tasks: any[], what: string, selected: number, onSelect: (id: number) => void}} props
 * `what` is how the list is called.
 */
export function FanOut({ tasks, what, selected, onSelect }) {
  const status = useSignal("");
  const counts = useMemo(() => countsOf(tasks), [tasks]);
  const present = FIRST_SEEN.filter((each) => counts.has(each));
  const wanted = counts.has(status.value) ? status.value : "";
  const found = useMemo(
    () => (wanted ? tasks.filter((task) => shownAs(task) === wanted) : tasks),
    [tasks, wanted],
  );
  const shown = found.findIndex((task) => task.id === selected);
  const move = (step) => {
    const to = found[Math.min(Math.max(shown + step, 0), found.length - 1)];
    if (to) onSelect(to.id);
  };
  return html`
    <div class="fan-out">
      <div class="choice" role="group" aria-label="Which ${what}">
        <button type="button" aria-pressed=${!wanted} onClick=${() => (status.value = "")}>${
          tasks.length.toLocaleString("en")} ${what}</button>
        ${present.length > 1 && present.map((each) => html`
          <button type="button" key=${each} class="is-${each}" aria-pressed=${wanted === each}
            onClick=${() => (status.value = wanted === each ? "" : each)}>
            <span class="mark" aria-hidden="true">${markOf(each)}</span> ${counts.get(each)?.toLocaleString("en")} ${wordOf(each)}</button>`)}
      </div>
      <div class="fan-out-list" style=${{ height: `${ROW * Math.min(tasks.length, MOST_ROWS)}px` }}>
        <${Rows} count=${found.length} height=${ROW} label=${what} shown=${shown} onMove=${move}
          row=${(index) => html`<${Line} key=${found[index].id} ...${{
            task: found[index], index, what, onSelect, chosen: index === shown }} />`} />
      </div>
    </div>`;
}

function Line({ task, index, what, onSelect, chosen }) {
  return html`
    <div class=${chosen ? "row is-chosen" : "row"} style=${{ top: `${index * ROW}px`, height: `${ROW}px` }}
        role="option" id=${rowId(what, index)} aria-selected=${chosen} data-task=${task.id}
        onClick=${() => onSelect(task.id)}>
      <${Status} of=${shownAs(task)} word=${false} />
      <span class="fan-out-name">${plain(nameOf(task))}</span>
      <span class="fan-out-text dim">${plain(task.note || task.error || task.description)}</span>
    </div>`;
}
