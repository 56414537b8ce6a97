// A long list of which only the rows in sight are in the document.

import { html, useLayoutEffect, useRef, useState } from "./html.js";

const EXTRA = 6; // rows above and below those in sight

/**
 * @param {{
 *   count: number, height: number, label: string, row: (index: number) => any,
 *   shown?: number, tail?: boolean, onMove?: (step: number) => void, children?: any, head?: number,
 * }} props
 * `shown` is scrolled into sight when it changes; `tail`: the end stays in sight while it is.
 */
export function Rows({ count, height, label, row, shown = -1, tail = false, onMove, children, head = 0 }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [place, setPlace] = useState({ top: 0, room: 600 });
  const atEnd = useRef(true);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => setPlace({ top: element.scrollTop, room: element.clientHeight });
    const scrolled = () => {
      atEnd.current = element.scrollTop + element.clientHeight > element.scrollHeight - height;
      look();
    };
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    element.addEventListener("scroll", scrolled, { passive: true });
    look();
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", scrolled);
    };
  }, [height]);

  useLayoutEffect(() => {
    const element = box.current;
    if (element && tail && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [count, tail]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || shown < 0) return;
    const top = head + shown * height;
    if (top < element.scrollTop + head) element.scrollTop = top - head;
    else if (top + height > element.scrollTop + element.clientHeight)
      element.scrollTop = top + height - element.clientHeight;
  }, [shown, height, head]);

  const first = Math.max(0, Math.floor((place.top - head) / height) - EXTRA);
  const last = Math.min(count, Math.ceil((place.top + place.room - head) / height) + EXTRA);
  const rows = [];
  for (let index = first; index < last; index++) rows.push(row(index));
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step || !onMove) return;
    event.preventDefault();
    onMove(step);
  };
  return html`
    <div class="rows" ref=${box} tabindex="0" role="listbox" aria-label=${label} onKeyDown=${keys}
        aria-activedescendant=${shown >= first && shown < last ? rowId(label, shown) : undefined}>
      ${children}
      <div class="rows-space" role="presentation" style=${{ height: `${count * height}px` }}>${rows}</div>
    </div>`;
}

/** The id of a row, by which a listbox names the one that is chosen. */
export const rowId = (label, index) => `${label}-${index}`.replaceAll(" ", "-");
