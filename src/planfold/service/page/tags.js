// Tags of plans: shown, searched for, and changed.

import { html, useSignal } from "./html.js";
import { address, ask } from "./address.js";
import { Fault, useCommand } from "./decisions.js";
import { write } from "./requests.js";
import { plain } from "./words.js";

const TAG = /^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,49}$/; // as in tags.py

/** Words with commas or blanks between. @param {string} text */
export const wordsIn = (text) => text.split(/[\s,]+/).filter(Boolean);

/** The tags in a text. Throws what is none. @param {string} text */
export function tagsIn(text) {
  const found = wordsIn(text);
  const wrong = found.find((word) => !TAG.test(word));
  if (wrong)
    throw new Error(`“${wrong}” is not a tag. A tag has up to 50 letters, digits and . _ : / = - and begins with a letter or a digit.`);
  return found;
}

/** The tags that the list of plans is filtered by. */
export const tagsAsked = () => wordsIn(address.value.query.get("tag") || "").filter((tag) => TAG.test(tag));

/** The list of plans with a tag; in the list, within what it shows. @param {string} tag */
function pathTo(tag) {
  const inList = address.value.view === "plans";
  const query = new URLSearchParams(inList ? address.value.query : "");
  query.set("tag", [...new Set([...(inList ? tagsAsked() : []), tag])].join(","));
  return `/?${query}`;
}

/** The tags of a plan, which lead to the plans that have them. @param {{tags: string[]}} props */
export const Tags = ({ tags }) =>
  tags.length
    ? html`<span class="tags">${tags.map((tag) => html`<a class="tag" key=${tag} href=${pathTo(tag)}
        aria-label="Plans with the tag ${tag}">${plain(tag)}</a>`)}</span>`
    : null;

export function TagFilter() {
  const text = useSignal("");
  const fault = useSignal("");
  const tags = tagsAsked();
  const set = (those) => ask({ tag: those.join(",") });
  const add = (event) => {
    event.preventDefault();
    try {
      set([...new Set([...tags, ...tagsIn(text.value)])]);
      text.value = fault.value = "";
    } catch (problem) {
      fault.value = problem.message;
    }
  };
  return html`
    <form class="tag-filter" onSubmit=${add}>
      ${tags.map((tag) => html`<button type="button" class="tag" key=${tag} aria-label="No longer filter by the tag ${tag}"
        onClick=${() => set(tags.filter((each) => each !== tag))}>${plain(tag)} <span aria-hidden="true">×</span></button>`)}
      <input aria-label="Filter by tag" placeholder="Tag" value=${text.value}
        onInput=${(event) => (text.value = event.currentTarget.value)} />
      <${Fault} fault=${fault} />
    </form>`;
}

/** Add tags to a plan and remove others. @param {{plan: string, view: any}} props */
export function TagChange({ plan, view }) {
  const text = useSignal("");
  const { busy, fault, run } = useCommand((body) => write(`/v1/plans/${encodeURIComponent(plan)}/tag`, body()));
  const add = async (event) => {
    event.preventDefault();
    if (await run(() => ({ add: tagsIn(text.value) }))) text.value = "";
  };
  return html`
    <div class="change">
      ${view.tags.length > 0 && html`<ul class="tags">${view.tags.map((tag) => html`
        <li class="tag" key=${tag}>${plain(tag)}<button type="button" class="link" disabled=${busy.value}
          aria-label="Remove the tag ${tag}" onClick=${() => run(() => ({ remove: [tag] }))}>×</button></li>`)}</ul>`}
      <form class="answer" onSubmit=${add}>
        <input aria-label="Tags to add" placeholder="nightly, team/storage" required value=${text.value}
          onInput=${(event) => (text.value = event.currentTarget.value)} />
        <button class="primary" disabled=${busy.value || !text.value.trim()}>Add</button>
      </form>
      <p class="dim">People find plans by their tags. No approval is for them.</p>
      <${Fault} fault=${fault} />
    </div>`;
}
