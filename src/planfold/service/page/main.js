// The page: signs in, then shows what the address says.

import { html, render, useEffect } from "./html.js";
import { address, follow, go } from "./address.js";
import { Draft } from "./draft.js";
import { Inbox, InboxCount } from "./inbox.js";
import { Help, followKeys, helpShown, onKeys } from "./keyboard.js";
import { Plan } from "./plan.js";
import { Plans } from "./plans.js";
import { leave, session } from "./requests.js";
import { Schedules } from "./schedules.js";
import { SignIn, followCodes, signIn } from "./sign_in.js";
import { begin, connection } from "./stream.js";
import { plain } from "./words.js";

const VIEWS = { plans: Plans, inbox: Inbox, schedules: Schedules, new: Draft };
let begun = false;

function Page() {
  const known = session.value;
  useEffect(() => {
    if (!known || begun) return;
    begun = true;
    begin();
  }, [known]);
  useEffect(() => onKeys({
    n: () => go("/new"), i: () => go("/inbox"), s: () => go("/schedules"), g: () => go("/"),
  }), []);
  if (known === null) return html`<main class="message"><p role="status">Connecting …</p></main>`;
  if (known === false) return html`<${SignIn} />`;
  const { view, plan } = address.value;
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <${Bar} view=${view} name=${known.name} />
    <div id="main" tabindex="-1" class="view view-${view}">
      ${view === "plan" ? html`<${Plan} key=${plan} id=${plan} />` : html`<${VIEWS[view]} />`}
    </div>
    <${Help} />`;
}

function Bar({ view, name }) {
  const link = (to, path, word) => html`<a href=${path} aria-current=${view === to ? "page" : undefined}>${word}</a>`;
  const live = connection.value === "live";
  return html`
    <header class="bar">
      <a class="logo" href="/">planfold</a>
      <nav aria-label="Main">
        ${link("plans", "/", "Plans")}
        ${link("inbox", "/inbox", html`Inbox<${InboxCount} />`)}
        ${link("schedules", "/schedules", "Schedules")}
        ${link("new", "/new", "New plan")}
      </nav>
      <span class="bar-end">
        <span class=${live ? "live" : "live is-waiting"} role="status"><span aria-hidden="true">${live ? "●" : "○"}</span> ${
          live ? "live" : "reconnecting"}</span>
        <button type="button" class="quiet keys-button" aria-label="Keys" onClick=${() => (helpShown.value = true)}>?</button>
        <span class="who dim">${plain(name)}</span>
        <button type="button" class="quiet" onClick=${() => leave()}>Sign out</button>
      </span>
    </header>`;
}

follow();
followKeys();
followCodes();
render(html`<${Page} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
signIn();
