// What the page knows about one plan. It is read from the service at the version in the address;
// events change the present state at once, and the plan is read again soon after.

import { batch, computed, signal } from "./html.js";
import { tasksOf } from "./event_words.js";
import { Reading } from "./reading.js";
import { get } from "./requests.js";
import { listen } from "./stream.js";
import { mapOf } from "./words.js";

const PAGE = 500; // events of the log that are read at a time
const MOST_EVENTS = 50_000;
const FRAME_MS = 16;

export class PlanState {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.at = /** @type {number | null} */ (null); // the version that is shown; null: the present
    this.view = signal(/** @type {any} */ (null));
    this.graph = signal(/** @type {any} */ (null));
    this.timeline = signal(/** @type {any} */ (null));
    this.events = signal(/** @type {any[]} */ ([]));
    this.latest = signal(0);
    this.fault = signal("");
    this.tasks = computed(() => {
      const written = this.view.value?.tasks || [];
      const all = [...written, ...written.flatMap((task) => task.items)];
      return new Map(all.map((task) => [task.id, task]));
    });
    this.path = `/v1/plans/${encodeURIComponent(id)}`;
    this.arrived = /** @type {any[]} */ ([]);
    this.timer = 0;
    this.viewing = new Reading((abort) => this.readView(abort), 120);
    this.timing = new Reading((abort) => this.readTimeline(abort), 400);
    this.logging = new Reading((abort) => this.readLog(abort), 50);
    this.stop = listen(
      (event) => event.aggregate_id === id && this.take(event),
      () => this.refresh(),
    );
    this.refresh();
  }

  refresh() {
    for (const each of [this.viewing, this.timing, this.logging]) each.now();
  }

  end() {
    this.stop();
    clearTimeout(this.timer);
    for (const each of [this.viewing, this.timing, this.logging]) each.end();
  }

  /** Show another version; null: the present. @param {number | null} version */
  travel(version) {
    if (version === this.at) return;
    this.at = version;
    this.viewing.now();
    this.timing.now();
  }

  query(more = "") {
    const found = [this.at === null ? "" : `version=${this.at}`, more].filter(Boolean).join("&");
    return found ? `?${found}` : "";
  }

  /** @param {AbortSignal} abort */
  async readView(abort) {
    try {
      const known = this.graph.value;
      const drawing = () => get(`${this.path}/graph${this.query()}`, abort);
      const reading = get(this.path + this.query("results=false"), abort);
      const [view, first] = await Promise.all([reading, known ? null : drawing()]);
      // What was asked for before the last events is older than what is shown.
      if (this.at === null && this.view.value?.version > view.version) return;
      const same = known && known.revision_hash === view.revision_hash && known.count === view.tasks.length;
      const graph = same ? known : { ...(first || (await drawing())), count: view.tasks.length };
      batch(() => {
        this.graph.value = graph;
        this.view.value = view;
        this.latest.value = Math.max(this.latest.value, view.version);
        this.fault.value = "";
      });
    } catch (fault) {
      if (!abort.aborted && fault.status) this.fault.value = fault.message;
      throw fault;
    }
  }

  /** @param {AbortSignal} abort */
  async readTimeline(abort) {
    const began = Date.now() / 1000;
    const drawing = await get(`${this.path}/timeline${this.query()}`, abort);
    // The clock of the service counts; this machine's may differ.
    const ahead = drawing.now - (began + Date.now() / 1000) / 2;
    this.timeline.value = { ...drawing, live: this.at === null && !drawing.ended, ahead };
  }

  /** @param {AbortSignal} abort */
  async readLog(abort) {
    for (;;) {
      const known = this.events.value;
      if (known.length >= MOST_EVENTS) return;
      const after = known.length ? known[known.length - 1].position : 0;
      const page = await get(`${this.path}/log?after=${after}&limit=${PAGE}`, abort);
      this.append(page.events);
      if (page.next === null) return;
    }
  }

  /** @param {any[]} events */
  append(events) {
    const known = this.events.value;
    const last = known.length ? known[known.length - 1].version : 0;
    const fresh = events.filter((event) => event.version > last);
    if (!fresh.length) return;
    batch(() => {
      this.events.value = known.concat(fresh);
      this.latest.value = Math.max(this.latest.value, fresh[fresh.length - 1].version);
    });
  }

  /** @param {any} event */
  take(event) {
    this.arrived.push(event);
    if (!this.timer) this.timer = setTimeout(() => this.apply(), FRAME_MS);
  }

  apply() {
    const events = this.arrived;
    this.arrived = [];
    this.timer = 0;
    batch(() => {
      const known = this.events.value;
      const last = known.length ? known[known.length - 1].version : 0;
      if (events[0].version <= last + 1) this.append(events);
      else this.logging.ask();
      const version = events[events.length - 1].version;
      this.latest.value = Math.max(this.latest.value, version);
      if (this.at === null && this.view.value) this.view.value = changed(this.view.value, events);
    });
    if (this.at !== null) return;
    this.viewing.ask();
    this.timing.ask();
  }
}

/**
 * The plan with what its events say of tasks, until it is read again.
 * @param {any} view @param {any[]} events
 */
function changed(view, events) {
  const changes = new Map();
  const known = view.version;
  for (const event of events) {
    if (event.version <= known) continue;
    view = { ...view, version: event.version };
    const { data } = event;
    const change = statusAfter(event.event_type, data);
    if (change) for (const id of tasksOf(event)) changes.set(id, { ...changes.get(id), ...change });
    if (event.event_type === "PlanningCompleted") view = { ...view, status: data.outcome };
    if (event.event_type === "PlanApproved") view = { ...view, status: "running" };
  }
  if (!changes.size) return view;
  const maps = new Set([...changes.keys()].map(mapOf));
  const after = (task) =>
    changes.has(task.id) ? { ...task, ...changes.get(task.id), waits_for: null } : task;
  const tasks = view.tasks.map((task) =>
    maps.has(task.id) ? { ...after(task), items: task.items.map(after) } : after(task),
  );
  return { ...view, tasks };
}

/** @param {string} type @param {any} data */
function statusAfter(type, data) {
  switch (type) {
    case "TaskDispatched":
      return { status: "running", attempt: data.attempt };
    case "TaskStatusUpdated":
      return data.status === "running" ? { note: data.note } : { status: data.status };
    case "RetryScheduled":
    case "TasksReset":
      return { status: "planned" };
    case "ClarificationRequested":
      return { status: "needs_clarification" };
    case "ClarificationReceived":
      return { status: data.leads_to === "fail" ? "failed" : data.leads_to === "resume" ? "running" : "completed" };
  }
  return null;
}
