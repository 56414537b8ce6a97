// The one place that knows the vendored libraries: markup as tagged templates, signals, hooks.

import { h, render, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { render, Fragment };
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact-hooks.js";
export { batch, computed, effect, signal, useComputed, useSignal } from "./vendor/signals.js";

/** @template T @typedef {{value: T}} Signal */

export const html = htm.bind(h);
