// One event stream for all tabs of the browser. The tab that holds the lock reads it and passes
// each event to the others; when it closes, another tab gets the lock and continues the stream.

import { signal } from "./html.js";
import { parse } from "./numbers.js";
import { whoAmI } from "./requests.js";

/** "live" while events arrive, "waiting" while the service cannot be reached. */
export const connection = signal("waiting");

const CHANNEL = "planfold-events";
const PAUSES_MS = [250, 500, 1000, 2000, 5000];

/** @type {Set<(event: any) => void>} */
const listeners = new Set();
/** @type {Set<() => void>} */
const refreshers = new Set();
/** @type {BroadcastChannel} */
let channel;
let position = 0; // of the last event that was seen
let failures = 0;

/**
 * Call `listener` for each event of any plan, and `refresh` when events may have been missed.
 * @param {(event: any) => void} listener @param {() => void} refresh
 */
export function listen(listener, refresh) {
  listeners.add(listener);
  refreshers.add(refresh);
  return () => {
    listeners.delete(listener);
    refreshers.delete(refresh);
  };
}

/** @param {{kind: string, data?: string, position?: number, state?: string}} message */
function take(message) {
  if (message.kind === "event") {
    const event = parse(message.data || "");
    if (event.position <= position) return;
    position = event.position;
    for (const listener of [...listeners]) listener(event);
  } else if (message.kind === "state") {
    connection.value = message.state || "waiting";
  } else if (message.kind === "refresh") {
    for (const refresh of [...refreshers]) refresh();
  }
}

/** @param {any} message */
function pass(message) {
  channel.postMessage(message);
  take(message);
}

/** Read the stream until the page closes. */
function lead() {
  channel.onmessage = (message) => {
    if (message.data.kind === "hello") channel.postMessage({ kind: "state", state: connection.value });
  };
  read();
  return new Promise(() => {});
}

function read() {
  const known = position > 0;
  const source = new EventSource(known ? `/v1/events?after=${position}` : "/v1/events?new=true");
  let opened = false;
  source.onopen = () => {
    failures = 0;
    pass({ kind: "state", state: "live" });
    // What happened before the stream began, or while it was cut, is in the plans themselves.
    if (!known || opened) pass({ kind: "refresh" });
    opened = true;
  };
  source.onmessage = (message) => pass({ kind: "event", data: message.data });
  source.onerror = () => {
    pass({ kind: "state", state: "waiting" });
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    if (failures > 1) position = 0; // the log may be another one now
    whoAmI();
    setTimeout(read, PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)]);
  };
}

export function begin() {
  channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = (message) => take(message.data);
  channel.postMessage({ kind: "hello" });
  navigator.locks.request(CHANNEL, lead);
}
