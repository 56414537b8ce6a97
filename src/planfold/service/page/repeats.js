// What would run again: of a fork, or after another answer. Effects `once` need a person's consent.

import { html, useEffect, useSignal } from "./html.js";
import { may, post } from "./requests.js";
import { idText, plain, wordOf } from "./words.js";

const PAUSE_MS = 250; // after the last key

/**
 * What a fork would do, before it is made. `make` gives the body of the request (null: none yet) from
 * the `inputs`, or throws what is wrong with them.
 * @param {string} plan @param {() => any} make @param {any[]} inputs
 */
export function useTrial(plan, make, inputs) {
  const found = useSignal(/** @type {any} */ (null));
  const fault = useSignal("");
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const body = make();
        const path = `/v1/plans/${encodeURIComponent(plan)}/fork/preview`;
        found.value = body && (await post(path, body, abort.signal));
        fault.value = "";
      } catch (problem) {
        if (abort.signal.aborted) return;
        found.value = null;
        fault.value = problem.message;
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [plan, ...inputs]);
  return { found, fault };
}

/** How a request names the task of an effect. @param {any} effect */
const keyOf = (effect) => String(effect.task_id);

/** Of these effects, those that a person must allow. @param {any[]} effects */
export const needConsent = (effects) => effects.filter((each) => each.effect === "once");

/** Whether each of these effects is allowed. @param {any[]} effects @param {string[]} repeat */
export const allowed = (effects, repeat) => effects.every((each) => repeat.includes(keyOf(each)));

/**
 * The effects that would happen again, each to be allowed. `repeat` holds what is allowed.
 * @param {{effects: any[], repeat: import("./html.js").Signal<string[]>}} props
 */
export function Repeats({ effects, repeat }) {
  const tick = (key, on) =>
    (repeat.value = on ? [...repeat.value, key] : repeat.value.filter((each) => each !== key));
  if (!effects.length) return null;
  return html`
    <fieldset class="repeats">
      <legend>Would happen again</legend>
      ${effects.map((effect) => html`<label key=${keyOf(effect)}><input type="checkbox"
        checked=${repeat.value.includes(keyOf(effect))} disabled=${!may("approve")}
        onChange=${(event) => tick(keyOf(effect), event.currentTarget.checked)} /> ${
        plain(effect.label || `task ${idText(effect.task_id)}`)} may happen again <span class="dim">(${
        effect.status === "completed" ? "it happened" : `it may have happened: ${wordOf(effect.status)}`})</span></label>`)}
      ${!may("approve") && html`<p class="dim">Allowing it needs the scope approve.</p>`}
    </fieldset>`;
}
