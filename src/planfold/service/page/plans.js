// The list of plans, newest first, as they are now.

import { html, useEffect, useSignal } from "./html.js";
import { address, ask, go, planPath } from "./address.js";
import { onKeys } from "./keyboard.js";
import { useReading } from "./reading.js";
import { get } from "./requests.js";
import { TagFilter, Tags, tagsAsked } from "./tags.js";
import { Status, clock, plain, wordOf } from "./words.js";

const FILTERS = ["running", "awaiting_approval", "awaiting_answer", "paused", "completed", "failed", "cancelled"];

/** Choose one of several things by j, k and Enter. @param {number} count @param {(index: number) => void} open */
export function useChosen(count, open) {
  const chosen = useSignal(-1);
  const to = (index) => {
    chosen.value = Math.min(Math.max(index, 0), count - 1);
    document.querySelectorAll("[data-item]")[chosen.value]?.scrollIntoView({ block: "nearest" });
  };
  useEffect(() => onKeys({
    j: () => to(chosen.value + 1),
    k: () => to(chosen.value - 1),
    Enter: () => chosen.value >= 0 && open(chosen.value),
    Escape: () => (chosen.value = -1),
  }), [count, open]);
  return chosen;
}

export function Plans() {
  const page = useSignal(/** @type {any} */ (null));
  const more = useSignal(/** @type {any[]} */ ([]));
  const status = address.value.query.get("status") || "";
  const words = address.value.query.get("q") || "";
  const choice = new URLSearchParams({ limit: "50" });
  if (FILTERS.includes(status)) choice.set("status", status);
  if (words) choice.set("title", words);
  const tags = tagsAsked();
  if (tags.length) choice.set("tag", tags.join(","));
  const path = `/v1/plans?${choice}`;
  useEffect(() => {
    document.title = "Plans · planfold";
    more.value = [];
  }, [path]);
  useReading(async (abort) => {
    page.value = await get(path, abort);
  }, [path]);

  const pages = page.value ? [page.value, ...more.value] : [];
  const found = [...new Map(pages.flatMap((each) => each.plans).map((plan) => [plan.id, plan])).values()];
  const next = pages.length ? pages[pages.length - 1].next : null;
  const chosen = useChosen(found.length, (index) => go(planPath(found[index].id)));
  const older = async () => {
    more.value = [...more.value, await get(`${path}&before=${encodeURIComponent(next)}`)];
  };
  return html`
    <main class="list">
      <header class="list-head">
        <h1>Plans</h1>
        <div class="choice filters" role="group" aria-label="Status">
          ${["", ...FILTERS].map((each) => html`
            <button type="button" key=${each} aria-pressed=${each === status}
              onClick=${() => ask({ status: each })}>${each ? wordOf(each) : "all"}</button>`)}
        </div>
        <input type="search" data-search aria-label="Filter by title" placeholder="Title" value=${words}
          onInput=${(event) => ask({ q: event.currentTarget.value }, true)} />
        <${TagFilter} />
      </header>
      ${page.value && !found.length && html`<p class="empty">${
        status || words || tags.length ? "No plan fits." : html`No plans yet. <a href="/new">Write the first one</a>.`}</p>`}
      <ul class="plans">
        ${found.map((plan, index) => html`<${Entry} key=${plan.id} plan=${plan} chosen=${index === chosen.value} />`)}
      </ul>
      ${next && html`<p class="more"><button type="button" onClick=${older}>Older plans</button></p>`}
    </main>`;
}

function Entry({ plan, chosen }) {
  const share = plan.total ? plan.completed / plan.total : 0;
  const status = plan.status || "damaged"; // its line in the store; its log has the status
  return html`
    <li class=${chosen ? "entry is-chosen" : "entry"} data-item=${plan.id}>
      <a href=${planPath(plan.id)}>
        <${Status} of=${status} />
        <span class="entry-title">${plain(plan.title) || plain(plan.id)}</span>
        <span class="entry-id dim">${plain(plan.id)}</span>
        <span class="entry-progress">
          <span class="meter is-${status}" aria-hidden="true"><span style=${{ width: `${100 * share}%` }}></span></span>
          <span class="numbers">${plan.completed}/${plan.total}</span>
        </span>
        <time class="dim">${clock(plan.updated_at)}</time>
      </a>
      <${Tags} tags=${plan.tags} />
    </li>`;
}
