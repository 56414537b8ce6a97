// The versions of a plan on a line: the last one is the present, the others are its history.

import { html } from "./html.js";
import { wordsFor } from "./event_words.js";
import { ForkButton } from "./fork.js";
import { clock, idText } from "./words.js";

/**
 * @param {{
 *   plan: string, at: number | null, latest: number, events: any[], onTravel: (version: number | null) => void,
 * }} props
 */
export function Scrubber({ plan, at, latest, events, onTravel }) {
  const shown = at ?? latest;
  const event = events[shown - 1]?.version === shown ? events[shown - 1] : null;
  const words = event && wordsFor(event);
  const move = (version) => onTravel(version >= latest ? null : Math.max(version, 1));
  return html`
    <div class=${at === null ? "scrubber" : "scrubber is-past"}>
      <input type="range" min="1" max=${Math.max(latest, 1)} value=${shown} aria-label="Version"
        aria-valuetext="version ${shown} of ${latest}" onInput=${(input) => move(Number(input.currentTarget.value))} />
      <span class="scrubber-words">
        <span class="numbers">version ${shown} of ${latest}</span>
        ${event && html` <span class="dim">${clock(event.recorded_at)} · ${words.verb}${
          event.data.task_id !== undefined ? ` ${idText(event.data.task_id)}` : ""}</span>`}
      </span>
      ${at === null
        ? html`<span class="dim">present</span>`
        : html`<${ForkButton} key=${at} plan=${plan} at=${at} />
          <button type="button" class="primary" onClick=${() => onTravel(null)}>Back to the present</button>`}
    </div>`;
}
