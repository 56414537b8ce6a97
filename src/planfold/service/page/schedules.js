// Schedules with their times and their last plans, and what is used of the shared limits.

import { html, useEffect, useSignal } from "./html.js";
import { planPath } from "./address.js";
import { Fault, useCommand } from "./decisions.js";
import { useReading } from "./reading.js";
import { get, may, post, session, write } from "./requests.js";
import { Status, clock, counted, duration, plain } from "./words.js";

const RECENT = 5; // plans of a schedule that are shown

export function Schedules() {
  const schedules = useSignal(/** @type {any[] | null} */ (null));
  const limits = useSignal(/** @type {any[]} */ ([]));
  useEffect(() => void (document.title = "Schedules · planfold"), []);
  useReading(async (abort) => {
    const [found, used] = await Promise.all([get("/v1/schedules", abort), get("/v1/limits", abort)]);
    schedules.value = found.schedules;
    limits.value = used.limits;
  }, []);
  const changed = (view) =>
    (schedules.value = (schedules.value || []).map((each) => (each.name === view.name ? view : each)));
  return html`
    <main class="list">
      <header class="list-head"><h1>Schedules</h1></header>
      ${schedules.value && !schedules.value.length && html`
        <p class="empty">No schedules yet. <code>planfold schedule add</code> makes one.</p>`}
      <ul class="schedules">
        ${(schedules.value || []).map((view) => html`<${Schedule} key=${view.name} view=${view} changed=${changed} />`)}
      </ul>
      ${limits.value.length > 0 && html`
        <section aria-labelledby="limits">
          <h2 id="limits">Limits over all workers</h2>
          <ul class="limits">
            ${limits.value.map((limit) => html`
              <${Limit} key=${limit.name} limit=${limit} changed=${(all) => (limits.value = all)} />`)}
          </ul>
        </section>`}
    </main>`;
}

/** @param {{view: any, changed: (view: any) => void}} props */
function Schedule({ view, changed }) {
  const path = `/v1/schedules/${encodeURIComponent(view.name)}`;
  const { busy, fault, run } = useCommand(async (action) => changed(await write(`${path}/${action}`, {})));
  const runs = may("write") && (view.approved_by === null || may("approve"));
  const button = (action, word) => html`
    <button type="button" disabled=${busy.value} onClick=${() => run(action)}
      aria-label="${word} ${view.name}">${word}</button>`;
  return html`
    <li class="card schedule" data-schedule=${view.name}>
      <p class="schedule-head"><strong>${plain(view.name)}</strong> <span>${plain(view.title)}</span></p>
      <p class="schedule-times">
        ${view.paused ? html`<${Status} of="paused" />`
          : html`<span>${view.next_at ? html`next <time>${clock(view.next_at)}</time>` : "no more occurrences"}</span>`}
        <span class="dim"><code>${plain(view.cron)}</code> in ${plain(view.tz)}</span>
      </p>
      ${notesOf(view).map((note) => html`<p class="dim" key=${note}>${note}</p>`)}
      ${view.fault && html`<p class="fault">A plan was not submitted: ${plain(view.fault)}</p>`}
      ${view.submitted > 0 && html`<${Recent} name=${view.name} count=${view.submitted} />`}
      ${may("write") && html`
        <div class="buttons">
          ${view.paused ? button("unpause", "Unpause") : button("pause", "Pause")}
          ${runs && !view.paused && button("run", "Run now")}
        </div>`}
      <${Fault} fault=${fault} />
    </li>`;
}

/** Whether the last plan waits for a person while it holds up the next. @param {any} view */
function heldUp(view) {
  return view.overlap !== "allow" && ["awaiting_approval", "awaiting_answer", "paused"].includes(view.previous_status);
}

/** What else there is to say of a schedule. @param {any} view */
function notesOf(view) {
  const waiting = view.waiting + view.starting.length;
  return [
    heldUp(view) && `Held up by ${plain(view.previous)}: ${view.overlap === "queue" ? "occurrences wait" : "occurrences are left out"} until it ends.`,
    view.approved_by === null && "Each of its plans waits for approval.",
    waiting > 0 && `${counted(waiting, "occurrence")} waiting to begin.`,
    view.overlapped > 0 && `${counted(view.overlapped, "occurrence")} left out: the plan before had not ended.`,
    view.missed_since > 0 && `Missed from ${clock(view.missed_since)} on.`,
  ].filter(Boolean);
}

/** The last plans of a schedule. @param {{name: string, count: number}} props */
function Recent({ name, count }) {
  const plans = useSignal(/** @type {any[]} */ ([]));
  const tag = encodeURIComponent(`schedule=${name}`);
  useReading(async (abort) => {
    plans.value = (await get(`/v1/plans?tag=${tag}&limit=${RECENT}`, abort)).plans;
  }, [name, count]);
  return html`
    <ul class="recent" aria-label="Last plans of ${name}">
      ${plans.value.map((plan) => html`
        <li key=${plan.id}><${Status} of=${plan.status || "damaged"} /> <a href=${planPath(plan.id)}>${plain(plan.id)}</a></li>`)}
      ${count > plans.value.length && html`<li><a href="/?tag=${tag}" aria-label="All plans of ${name}">all ${counted(count, "plan")}</a></li>`}
    </ul>`;
}

/** @param {{limit: any, changed: (limits: any[]) => void}} props */
function Limit({ limit, changed }) {
  const path = `/v1/limits/${encodeURIComponent(limit.name)}/open`;
  const { busy, fault, run } = useCommand(async () => changed((await post(path, undefined)).limits));
  const opens = may("write") && session.value && !session.value.projects.length;
  return html`
    <li class="limit" data-limit=${limit.name}>
      <strong>${plain(limit.name)}</strong>
      ${limit.starts !== null && html`<span>${limit.started} of ${limit.starts} starts in ${duration(limit.period)}</span>`}
      ${limit.concurrency !== null && html`<span>${limit.held} of ${limit.concurrency} at once</span>`}
      ${limit.closed_until !== null ? html`
        <span class="paused">closed by a server until ${clock(limit.closed_until)}</span>
        ${opens && html`<button type="button" disabled=${busy.value} onClick=${() => run(null)}
          aria-label="Open ${limit.name}">Open</button>`}`
        : limit.opens !== null && html`<span class="dim">next start ${clock(limit.opens)}</span>`}
      <${Fault} fault=${fault} />
    </li>`;
}
