// JSON whose whole numbers stay as they are written: JavaScript rounds whole numbers beyond 2^53, and what
// the page shows or sends back must be the plan's.

/** @param {string} _ @param {any} value @param {{source?: string}} [context] */
function kept(_, value, context) {
  const source = context?.source || "";
  const rounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return rounded && "rawJSON" in JSON ? /** @type {any} */ (JSON).rawJSON(source) : value;
}

/** The value of a JSON text. A whole number that JavaScript would round is written by `JSON.stringify` as it was read. */
export const parse = (/** @type {string} */ text) => JSON.parse(text, /\d{16}/.test(text) ? kept : undefined);
