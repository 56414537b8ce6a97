// Keys that work everywhere, and those of the view that is shown.

import { html, signal, useEffect, useRef } from "./html.js";

/** @type {Record<string, () => void>[]} */
const handlers = [];
export const helpShown = signal(false);

const HELP = [
  ["j, k", "next and previous task, plan or question"],
  ["Enter", "open it"],
  ["arrow keys", "move in the graph or the list that has the focus"],
  ["/", "search or filter"],
  ["n", "new plan"],
  ["i", "inbox"],
  ["s", "schedules"],
  ["g", "plans"],
  ["Escape", "close, then back to the present"],
  ["?", "this help"],
];

/** @param {Record<string, () => void>} keys by the name of the key; returns how to forget them */
export function onKeys(keys) {
  handlers.push(keys);
  return () => void handlers.splice(handlers.indexOf(keys), 1);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const typing = target instanceof HTMLElement && target.matches("input:not([type=range]), textarea, select");
  if (typing && event.key === "Escape") return void target.blur();
  if (typing) return;
  if (event.key === "?") helpShown.value = true;
  else if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    if (!(field instanceof HTMLElement)) return;
    field.focus();
  } else if (helpShown.value) return;
  else {
    const handler = handlers.findLast((keys) => keys[event.key]);
    if (!handler) return;
    handler[event.key]();
  }
  event.preventDefault();
}

export const followKeys = () => window.addEventListener("keydown", press);

export function Help() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    if (helpShown.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [helpShown.value]);
  return html`
    <dialog ref=${dialog} aria-label="Keys" onClose=${() => (helpShown.value = false)}>
      <h2>Keys</h2>
      <dl class="keys">${HELP.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
      <form method="dialog"><button>Close</button></form>
    </dialog>`;
}
