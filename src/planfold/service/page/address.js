// The address of the page as a signal: which view, which plan, task and version.

import { signal } from "./html.js";

/**
 * @typedef {{view: "plans"|"inbox"|"schedules"|"new"|"plan", plan: string, query: URLSearchParams}} Address
 */

/** @returns {Address} */
function read() {
  const { pathname, search } = window.location;
  const query = new URLSearchParams(search);
  if (pathname.startsWith("/plans/"))
    return { view: "plan", plan: decodeURIComponent(pathname.slice(7)), query };
  if (pathname === "/inbox") return { view: "inbox", plan: "", query };
  if (pathname === "/schedules") return { view: "schedules", plan: "", query };
  if (pathname === "/new") return { view: "new", plan: "", query };
  return { view: "plans", plan: "", query };
}

export const address = signal(read());

/**
 * Go to a path of the page. `replace`: without a new entry in the browser's history.
 * @param {string} path
 */
export function go(path, replace = false) {
  if (replace) window.history.replaceState(null, "", path);
  else window.history.pushState(null, "", path);
  address.value = read();
}

/**
 * Change parts of the query; null removes one.
 * @param {Record<string, string | number | null>} changes
 */
export function ask(changes, replace = false) {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  const path = window.location.pathname + (text ? `?${text}` : "");
  if (path !== window.location.pathname + window.location.search) go(path, replace);
}

/** @param {string} id */
export const planPath = (id, query = "") => `/plans/${encodeURIComponent(id)}${query}`;

export function follow() {
  window.addEventListener("popstate", () => (address.value = read()));
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    if (!target || !plain || event.defaultPrevented || target.origin !== window.location.origin) return;
    if (target.hash && target.pathname === window.location.pathname) return;
    event.preventDefault();
    go(target.pathname + target.search);
    window.scrollTo(0, 0);
    requestAnimationFrame(() => document.getElementById("main")?.focus());
  });
}
