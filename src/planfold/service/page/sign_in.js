// How a browser gets its session: by a launch code in the fragment of the address, or a token.

import { html, useEffect, useSignal } from "./html.js";
import { Fault, useCommand } from "./decisions.js";
import { enter, launch, whoAmI } from "./requests.js";

const CODE = /^#launch=(pfl_[\w-]+)$/;

/** Use the launch code of the address, if there is one; it is removed from the address first. */
export async function signIn() {
  const code = CODE.exec(window.location.hash);
  if (code) {
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    try {
      return await launch(code[1]);
    } catch {
      // It was used, or is too old; the browser may have a session already.
    }
  }
  await whoAmI();
}

/** A launch code that is opened in this tab changes only the fragment of its address. */
export function followCodes() {
  window.addEventListener("hashchange", () => CODE.test(window.location.hash) && signIn());
}

export function SignIn() {
  const token = useSignal("");
  const { busy, fault, run } = useCommand(() => enter(token.value.trim()));
  useEffect(() => void (document.title = "Sign in · planfold"), []);
  return html`
    <main class="sign-in">
      <h1>planfold</h1>
      <p>On the machine of the service, <code>planfold open</code> opens this page signed in.
        Elsewhere, use a token of <code>planfold token create</code>.</p>
      <form onSubmit=${(event) => { event.preventDefault(); run(null); }}>
        <label for="token">Token</label>
        <input id="token" type="password" autocomplete="off" required value=${token.value}
          onInput=${(event) => (token.value = event.currentTarget.value)} />
        <button class="primary" disabled=${busy.value}>Sign in</button>
        <${Fault} fault=${fault} />
      </form>
    </main>`;
}
