// Requests to the service. A refusal is thrown as `Refusal`, with what the service says about it.

import { signal } from "./html.js";
import { parse } from "./numbers.js";

/** Whether the browser has a session: null while that is not known. */
export const session = signal(/** @type {null | false | {name: string, scopes: string[], projects: string[]}} */ (null));

/** What is wrong with a task of a plan, and what to do. @param {any} fault */
function faultText({ task, field, message, fix }) {
  const where = [task && `task ${task}`, field].filter(Boolean).join(", ");
  return `${where && `${where}: `}${message}${fix ? ` (${fix})` : ""}`;
}

export class Refusal extends Error {
  /** @param {{status: number, title: string, detail?: string, faults?: any[]}} problem */
  constructor(problem) {
    super([problem.detail || problem.title, ...(problem.faults || []).map(faultText)].join("\n"));
    this.status = problem.status;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 */
async function request(method, path, options = {}) {
  const headers = { ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (fault) {
    if (options.signal?.aborted) throw fault;
    throw new Refusal({ status: 0, title: "The service cannot be reached. It is tried again." });
  }
  if (response.status === 204 || response.status === 304) return null;
  const answer = await response.text().then(parse).catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401 && !headers.Authorization) session.value = false;
  const title = `The service answered with status ${response.status}.`;
  throw new Refusal({ title, ...answer, status: response.status });
}

/** @param {string} path @param {AbortSignal} [abort] */
export const get = (path, abort) => request("GET", path, { signal: abort });

/** @param {string} path @param {any} body @param {AbortSignal} [abort] */
export const post = (path, body, abort) => request("POST", path, { body, signal: abort });

/**
 * A write, under a key of its own: when there is no answer it is sent again, and is carried out once.
 * @param {string} path @param {any} body
 */
export async function write(path, body) {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  for (let attempt = 0; ; attempt++) {
    try {
      return await request("POST", path, { body, headers });
    } catch (fault) {
      const passing = fault instanceof Refusal && [0, 429, 503].includes(fault.status);
      if (!passing || attempt === 4) throw fault;
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
    }
  }
}

export async function whoAmI() {
  try {
    session.value = await get("/v1/me");
  } catch (fault) {
    if (fault instanceof Refusal && fault.status === 401) session.value = false;
    else setTimeout(whoAmI, 1000);
  }
}

/** Begin a session with a launch code. @param {string} code */
export async function launch(code) {
  session.value = await request("POST", "/v1/sessions", { body: { code } });
}

/** Begin a session with a token, which the page then forgets. @param {string} token */
export async function enter(token) {
  const headers = { Authorization: `Bearer ${token}` };
  const made = await request("POST", "/v1/launch-codes", { headers }).catch((fault) => {
    if (fault.status !== 401) throw fault;
    const title = "This token is not valid: it is misspelt, revoked or too old. Enter another one.";
    throw new Refusal({ status: 401, title });
  });
  await launch(made.code);
}

export async function leave() {
  await request("DELETE", "/v1/sessions");
  session.value = false;
}

/** @param {string} scope */
export const may = (scope) => Boolean(session.value && session.value.scopes.includes(scope));
