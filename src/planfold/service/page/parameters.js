// The parameters of a plan that is being written: a field for each, by its type.

import { html } from "./html.js";
import { plain } from "./words.js";

const NUMERIC = new Set(["integer", "number"]);
const STRUCTURED = new Set(["list", "object"]);
const EXAMPLES = { list: '["a", "b"]', object: '{"a": 1}' };

/** @param {any} value */
const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {any} parameter */
const isRequired = (parameter) => !("default" in parameter);

/** The values that were typed, of the parameters that the plan declares. The service reads them by their types. */
export const typedValues = (declared, values) =>
  Object.fromEntries(Object.keys(declared).filter((name) => values[name]).map((name) => [name, values[name]]));

/** The parameter that a fault is about, if any. @param {any} fault @param {any} declared */
export const parameterOf = ({ task, field }, declared) => {
  const name = !task && field?.startsWith("params.") ? field.slice("params.".length) : "";
  return name in declared ? name : "";
};

/**
 * @param {{
 *   declared: Record<string, any>, values: Record<string, string>, faults: any[],
 *   onValues: (values: Record<string, string>) => void,
 * }} props `values` are texts by name; where one is empty the default holds.
 */
export function ParameterFields({ declared, values, faults, onValues }) {
  const names = Object.keys(declared);
  if (!names.length) return null;
  const put = (name, text) => onValues({ ...values, [name]: text });
  return html`
    <fieldset class="parameters">
      <legend>Parameters</legend>
      ${names.map((name) => html`<${Field} key=${name} ...${{ name, parameter: declared[name], value: values[name] || "",
        faults: faults.filter((fault) => parameterOf(fault, declared) === name), onText: (text) => put(name, text) }} />`)}
    </fieldset>`;
}

function Field({ name, parameter, value, faults, onText }) {
  const { type = "string", description = "" } = parameter;
  const required = isRequired(parameter);
  const id = `parameter-${name}`;
  const shared = {
    id, value, placeholder: required ? EXAMPLES[type] || "" : written(parameter.default),
    "aria-invalid": faults.length > 0, "aria-describedby": `${id}-about`, "aria-required": required,
    onInput: (event) => onText(event.currentTarget.value),
  };
  const said = required ? "required" : `default ${written(parameter.default) || "empty"}`;
  return html`
    <div class="parameter">
      <label for=${id}>${plain(name)} <span class="dim">${type}, ${plain(said)}</span></label>
      ${type === "boolean" ? html`<${Choice} ...${{ ...shared, said }} />`
        : STRUCTURED.has(type) ? html`<textarea rows="2" spellcheck="false" ...${shared}></textarea>`
        : NUMERIC.has(type) ? html`<input type="number" step=${type === "integer" ? "1" : "any"} ...${shared} />`
        : html`<input ...${shared} />`}
      <div id="${id}-about">
        ${description && html`<p class="dim">${plain(description)}</p>`}
        ${faults.map((fault, index) => html`<p class="fault" key=${index}>${plain(fault.message)}</p>`)}
      </div>
    </div>`;
}

const Choice = ({ said, placeholder: _, value, ...rest }) => html`
  <select ...${rest} value=${value}>
    <option value="">${plain(said)}</option><option value="true">true</option><option value="false">false</option>
  </select>`;
