// The fields of a form: a control, its label, what is right in it, and what is wrong with it.

import { element, readable } from "./dom.js";

/** What is wrong with what was typed: a field and a text for each fault. */
export class Faults extends Error {
  constructor(list) {
    super(list.map(([field, text]) => `${field.name}: ${text}`).join("\n"));
    this.list = list;
  }
}

let serial = 0;

function fresh(kind) {
  return `${kind}-${(serial += 1)}`;
}

/**
 * A field in its box. `read` gives its value, `empty` where it was left empty, and throws Faults for
 * what would not arrive as typed; `mark` says beside the control what is wrong. Of the options,
 * `hints` say what is right, `schema` shows it, `fields` are those inside, `framed` the
 * rows below the hints.
 */
function field(name, box, control, read, described, { required = false, hints = [], schema, fields = [], framed: rows = [] }) {
  const notes = hints.filter(Boolean).map((text) => element("p", { class: "hint", id: fresh("hint") }, text));
  const fault = element("p", { class: "fault", id: fresh("fault"), hidden: true });
  if (schema !== undefined) {
    notes.push(element("details", { id: fresh("schema") }, element("summary", {}, "What is right here"),
      element("pre", {}, readable(schema))));
  }
  box.append(...notes, ...rows, fault);
  const about = [...notes, fault].filter((one) => one.tagName !== "DETAILS").map((one) => one.id);
  described.setAttribute("aria-describedby", about.join(" "));
  const mark = (text) => {
    fault.textContent = text && fault.textContent ? `${fault.textContent}; ${text}` : text;
    fault.hidden = text === "";
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  const made = { name, box, control, required, fields, mark };
  made.read = () => read((text) => new Faults([[made, text]]));
  return made;
}

/** A field of one control with a label. */
function labelled(name, control, read, options) {
  control.id = fresh("field");
  if (options.required) control.setAttribute("aria-required", "true");
  const label = element("label", { for: control.id }, options.required ? `${name} *` : name);
  const box = element("div", { class: "field" }, label, control);
  return field(name, box, control, read, control, options);
}

/** A field of several controls in a frame. */
function framed(name, rows, control, read, options) {
  const legend = element("legend", {}, options.required ? `${name} *` : name);
  const box = element("fieldset", {}, legend);
  return field(name, box, control ?? box, read, box, { ...options, framed: rows });
}

/** A box to tick, with its label. */
function tick(text, attributes = { type: "checkbox", value: "on" }) {
  const id = fresh("tick");
  const input = element("input", { ...attributes, id });
  return { input, row: element("div", { class: "choice" }, input, element("label", { for: id }, text)) };
}

/** What is left empty: `empty`, or with `mayBeEmpty` what is empty on purpose, which has to be said. */
function orEmpty(made, options, nothing) {
  if (!options.mayBeEmpty) return () => options.empty;
  // Who leaves out what is needed has mostly forgotten it.
  const { input, row } = tick("empty on purpose");
  made.box.append(row);
  return () => (input.checked ? nothing : options.empty);
}

export function textField(name, options) {
  const control = element("textarea", { rows: options.rows ?? 2 });
  const made = labelled(name, control, () => (control.value !== "" ? control.value : otherwise()), options);
  const otherwise = orEmpty(made, options, "");
  return made;
}

/** A list of texts, each on a line of its own. */
export function linesField(name, options) {
  const control = element("textarea", { rows: 3 });
  const made = labelled(name, control, () => {
    const items = control.value.split(/\r?\n/).filter((line) => line.trim() !== "");
    return items.length > 0 ? items : otherwise();
  }, options);
  const otherwise = orEmpty(made, options, []);
  return made;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const TOO_LONG = `beyond ±${Number.MAX_SAFE_INTEGER} a browser rounds whole numbers: send this one with the command line or the API`;

/** Whether a whole number, as it is written, is more than a browser's numbers can hold exactly. */
function rounded(value, written) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && !/[.e]/i.test(written);
}

export function numberField(name, whole, options) {
  const control = element("input", { inputmode: whole ? "numeric" : "decimal" });
  return labelled(name, control, (wrong) => {
    const given = control.value.trim();
    if (given === "") return options.empty;
    const value = NUMBER.test(given) ? Number(given) : NaN;
    if (rounded(value, whole ? "" : given)) throw wrong(TOO_LONG);
    if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) {
      throw wrong(`${whole ? "a whole number" : "a number"} is right`);
    }
    return value;
  }, options);
}

/** The path of a member that an object of this JSON has more than once; undefined if there is none. */
function twice(text) {
  const around = [];  // the objects and lists in which what is read stands, outermost first
  const path = () => around.map(({ at }) => (typeof at === "number" ? `[${at}]` : `.${at}`)).join("");
  for (const [, string, mark] of text.matchAll(/("(?:[^"\\]|\\.)*")|([{}[\],:])/g)) {
    const inner = around.at(-1);
    if (string) {
      if (inner?.names) inner.string ??= JSON.parse(string);
    } else if (mark === "{") around.push({ names: new Set() });
    else if (mark === "[") around.push({ at: 0 });
    else if (mark === "}" || mark === "]") around.pop();
    else if (mark === ":") {
      inner.at = inner.string;
      if (inner.names.has(inner.at)) return `$${path()}`;
      inner.names.add(inner.at);
    } else if (inner.names) inner.string = undefined;
    else inner.at += 1;
  }
  return undefined;
}

/** The value of JSON that a person typed; throws Faults for what would not arrive as typed. */
function parsed(text, wrong) {
  const check = (_, value, context) => {
    if (typeof value !== "number") return value;
    if (rounded(value, context?.source ?? "")) throw new RangeError(TOO_LONG);
    if (!Number.isFinite(value)) throw new RangeError("there is a number beyond all bounds in it");
    return value;
  };
  try {
    const value = JSON.parse(text, check);
    const path = twice(text);
    if (path) throw new RangeError(`${path} is there more than once`);
    return value;
  } catch (error) {
    throw wrong(`${error instanceof RangeError ? "" : "this is not JSON: "}${error.message}`);
  }
}

export function jsonField(name, options) {
  const control = element("textarea", { rows: 5, class: "json", spellcheck: "false" });
  const read = (wrong) => (control.value.trim() === "" ? options.empty : parsed(control.value, wrong));
  return labelled(name, control, read, options);
}

/** Text as it is typed, or JSON where the person says so: for fields that may be of any type. */
export function anyField(name, options) {
  const control = element("textarea", { rows: 1 });
  const { input, row } = tick("this is no text, but JSON: a number, true or false, a list …");
  const made = labelled(name, control, (wrong) => {
    if (control.value === "") return options.empty;
    return input.checked ? parsed(control.value, wrong) : control.value;
  }, options);
  made.box.append(row);
  return made;
}

/** One of some values, or where none is needed also none: what is chosen can be taken back. */
export function choiceField(name, choices, options, label = readable) {
  const group = fresh("choice");
  const ticks = choices.map((choice, index) =>
    tick(label(choice), { type: "radio", name: group, value: String(index) }));
  if (!options.required) ticks.push(tick("no answer", { type: "radio", name: group, value: "" }));
  const read = () => {
    const index = ticks.findIndex(({ input }) => input.checked);
    return index < 0 || index >= choices.length ? options.empty : choices[index];
  };
  return framed(name, ticks.map(({ row }) => row), ticks[0]?.input, read, options);
}

/** A list of any of some values. */
export function severalField(name, choices, options) {
  const ticks = choices.map((choice) => tick(readable(choice)));
  const made = framed(name, ticks.map(({ row }) => row), ticks[0]?.input, () => {
    const chosen = choices.filter((_, index) => ticks[index].input.checked);
    return chosen.length > 0 ? chosen : otherwise();
  }, options);
  const otherwise = orEmpty(made, options, []);
  return made;
}

export function isTick(control) {
  return control.type === "radio" || control.type === "checkbox";
}

/** What a control holds: whether it is ticked, or its text; "no answer" holds as little as none. */
export function held(control) {
  return isTick(control) ? control.checked && control.value !== "" : control.value;
}

function isBlank(box) {
  return [...box.querySelectorAll("input, textarea")].every((one) => !held(one));
}

/** An object, of a field for each member; one that is not needed and left blank is left out. */
export function groupField(name, fields, options) {
  const boxes = fields.map((one) => one.box);
  const made = framed(name, boxes, fields[0].control,
    () => (!options.required && isBlank(made.box) ? options.empty : gathered(fields)),
    { ...options, fields });
  return made;
}

/** The object that fields make up; throws Faults of all that are missing or malformed. */
export function gathered(fields) {
  const faults = [];
  const members = [];
  for (const one of fields) {
    try {
      const value = one.read();
      if (value !== undefined) members.push([one.name, value]);
      else if (one.required) faults.push([one, "this is needed"]);
    } catch (error) {
      if (!(error instanceof Faults)) throw error;
      faults.push(...error.list);
    }
  }
  if (faults.length > 0) throw new Faults(faults);
  return Object.fromEntries(members);
}
