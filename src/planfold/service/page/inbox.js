// What waits for a person, over all plans: open questions, and plans to be approved.

import { html, signal, useEffect } from "./html.js";
import { go, planPath } from "./address.js";
import { Question } from "./decisions.js";
import { useChosen } from "./plans.js";
import { useReading } from "./reading.js";
import { get } from "./requests.js";
import { counted, plain } from "./words.js";

const questions = signal(/** @type {any[] | null} */ (null));
const approvals = signal(/** @type {any[]} */ ([]));
const more = signal(false);

/** @param {AbortSignal} abort */
async function read(abort) {
  const [asked, waiting] = await Promise.all([
    get("/v1/questions?limit=100", abort),
    get("/v1/plans?status=awaiting_approval&limit=100", abort),
  ]);
  questions.value = asked.questions;
  approvals.value = waiting.plans;
  more.value = Boolean(asked.next || waiting.next);
}

const UNRELATED = new Set(["TaskDispatched", "StepStarted", "StepRecorded", "StepFailed", "RetryScheduled"]);

/** Whether an event may begin or end a question or a wait for approval. @param {any} event */
function changesInbox(event) {
  if (event.event_type === "TaskStatusUpdated") return !["running", "completed"].includes(event.data.status);
  return !UNRELATED.has(event.event_type);
}

/** How much waits, beside the link to the inbox. */
export function InboxCount() {
  useReading(read, [], changesInbox);
  const count = (questions.value?.length || 0) + approvals.value.length;
  return count ? html` <span class="count">${count}${more.value ? "+" : ""}</span>` : null;
}

export function Inbox() {
  useEffect(() => void (document.title = "Inbox · planfold"), []);
  const asked = questions.value || [];
  const plans = [...asked.map((each) => each.plan_id), ...approvals.value.map((each) => each.id)];
  const chosen = useChosen(plans.length, (index) => go(planPath(plans[index])));
  return html`
    <main class="list inbox">
      <header class="list-head"><h1>Inbox</h1></header>
      ${questions.value && !plans.length && html`<p class="empty">Nothing waits for you.</p>`}
      ${asked.map((each, index) => html`
        <div class=${index === chosen.value ? "item is-chosen" : "item"} key=${`${each.plan_id} ${each.task}`} data-item=${each.plan_id}>
          <${Question} plan=${each.plan_id} task=${each.task} question=${each.question} heading="h2"
            title=${html`<a href=${planPath(each.plan_id, `?task=${encodeURIComponent(each.task)}`)}>${plain(each.title) || plain(each.plan_id)}</a>`} />
        </div>`)}
      ${approvals.value.map((plan, index) => html`
        <div class=${asked.length + index === chosen.value ? "item is-chosen" : "item"} key=${plan.id} data-item=${plan.id}>
          <section class="card approval">
            <p class="card-kind"><span class="mark is-awaiting_approval" aria-hidden="true">!</span> Awaiting approval</p>
            <h2 class="question"><a href=${planPath(plan.id)}>${plain(plan.title) || plain(plan.id)}</a></h2>
            <p class="dim">${counted(plan.total, "task")} · ${plain(plan.id)}</p>
          </section>
        </div>`)}
    </main>`;
}
