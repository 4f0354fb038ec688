// The form of an answer: made from its shape, read back as a value. Text goes in as text only.

/** An element with attributes and children; strings become text nodes, never markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** How a person reads a value: text as it is, everything else as indented JSON. */
export function readable(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** What goes wrong when a field is read: says which, and what would be right. */
export class FieldProblem extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

let serial = 0;

/** A labelled control; `read` gives its value, undefined where it was left empty. */
function field(name, control, read, { required = false, hint = "" } = {}) {
  const id = `field-${(serial += 1)}`;
  control.id = id;
  if (required) control.setAttribute("aria-required", "true");
  const box = element("div", { class: "field" },
    element("label", { for: id }, required ? `${name} *` : name), control,
    hint ? element("p", { class: "hint" }, hint) : null);
  return { name, box, control, required, read };
}

function textField(name, options) {
  const control = element("textarea", { rows: options.rows ?? 2 });
  const made = field(name, control, () => {
    if (control.value !== "") return control.value;
    return empty?.checked ? "" : options.empty;
  }, options);
  // Who leaves out a text that is needed has mostly forgotten it: that it is empty has to be said.
  const empty = options.mayBeEmpty ? tick(made.box, "empty on purpose") : null;
  return made;
}

/** A box to tick under a field. */
function tick(below, text) {
  const id = `tick-${(serial += 1)}`;
  const box = element("input", { type: "checkbox", id });
  below.append(element("div", { class: "choice" }, box, element("label", { for: id }, text)));
  return box;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const TOO_LONG = `beyond ±${Number.MAX_SAFE_INTEGER} a browser rounds whole numbers: send this one with the command line or the API`;

/** Whether a whole number, as it is written, is more than a browser's numbers can hold exactly. */
function rounded(value, written) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && !/[.e]/i.test(written);
}

function numberField(name, whole, options) {
  const control = element("input", { inputmode: whole ? "numeric" : "decimal" });
  const right = whole ? "a whole number" : "a number";
  return field(name, control, () => {
    const given = control.value.trim();
    if (given === "") return options.empty;
    const value = NUMBER.test(given) ? Number(given) : NaN;
    if (rounded(value, whole ? "" : given)) throw new FieldProblem(control, `${name}: ${TOO_LONG}`);
    if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) {
      throw new FieldProblem(control, `${name}: ${right} is right`);
    }
    return value;
  }, { ...options, hint: options.hint || right });
}

/** The value of JSON that a person typed; throws FieldProblem for what would not arrive as typed. */
function parsed(name, control) {
  const check = (_, value, context) => {
    if (typeof value !== "number") return value;
    if (rounded(value, context?.source ?? "")) throw new RangeError(TOO_LONG);
    if (!Number.isFinite(value)) throw new RangeError("there is a number beyond all bounds in it");
    return value;
  };
  try {
    return JSON.parse(control.value, check);
  } catch (error) {
    const what = error instanceof RangeError ? "" : "this is not JSON: ";
    throw new FieldProblem(control, `${name}: ${what}${error.message}`);
  }
}

function jsonField(name, options) {
  const control = element("textarea", { rows: 5, class: "json", spellcheck: "false" });
  return field(name, control,
    () => (control.value.trim() === "" ? options.empty : parsed(name, control)),
    { ...options, hint: options.hint || "JSON; text in double quotes" });
}

/** Text as it is typed, or JSON where the person says so: for fields that may be of any type. */
function anyField(name, options) {
  const control = element("textarea", { rows: 1 });
  const made = field(name, control, () => {
    if (control.value === "") return options.empty;
    return json.checked ? parsed(name, control) : control.value;
  }, options);
  const json = tick(made.box, "this is no text, but JSON: a number, true or false, a list …");
  return made;
}

function choiceField(name, choices, options, label = readable) {
  const group = `choice-${(serial += 1)}`;
  const rows = choices.map((choice, index) => {
    const id = `${group}-${index}`;
    const input = element("input", { type: "radio", name: group, id, value: String(index) });
    return element("div", { class: "choice" }, input, element("label", { for: id }, label(choice)));
  });
  const box = element("fieldset", {}, element("legend", {}, options.required ? `${name} *` : name),
    ...rows, options.hint ? element("p", { class: "hint" }, options.hint) : null);
  const read = () => {
    const checked = box.querySelector("input:checked");
    return checked === null ? options.empty : choices[Number(checked.value)];
  };
  return { name, box, control: box.querySelector("input") ?? box, required: options.required, read };
}

// ── from a JSON Schema ────────────────────────────────────────────────────────────────────────

const MAX_STEPS = 100;  // references and alternatives in one member: a schema may go in circles

/** What a local reference is to, "#/$defs/Grade" or so; undefined where that is nothing. */
function referred(reference, root) {
  if (typeof reference !== "string" || !/^#(\/|$)/.test(reference)) return undefined;
  const names = reference.split("/").slice(1).map(
    (part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce((at, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined), root);
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}

/**
 * The simple schemas of which one must hold: references followed, anyOf, oneOf and lists of types
 * taken apart; what is said beside those holds of each. One that cannot be understood is OPAQUE: it
 * takes JSON, for the box to judge.
 */
function alternatives(schema, root, steps = { left: MAX_STEPS }) {
  if (schema === undefined || schema === true) return [{}];
  if (!isObject(schema) || (steps.left -= 1) < 0) return [OPAQUE];
  const { $ref, ...beside } = schema;
  if ($ref !== undefined) return alternatives(both(beside, referred($ref, root) ?? OPAQUE), root, steps);
  const { [severalIn(schema)]: several, ...rest } = schema;
  if (several) return several.flatMap((one) => alternatives(both(rest, one), root, steps));
  if (Array.isArray(schema.type)) return schema.type.map((type) => ({ ...schema, type }));
  return [schema];
}

/** The member that takes a schema apart; where there are two, the other stays for the box to judge. */
function severalIn(schema) {
  return ["anyOf", "oneOf"].find((name) => Array.isArray(schema[name]))
    ?? (schema.allOf?.length === 1 ? "allOf" : undefined);
}

/** What is said beside an alternative, and the alternative itself, which counts more. */
function both(beside, one) {
  if (!isObject(one)) return one === true ? beside : OPAQUE;
  return {
    ...beside,
    ...one,
    ...(beside.properties && { properties: { ...one.properties, ...beside.properties } }),
    ...(beside.required && { required: [...new Set([...beside.required, ...(one.required ?? [])])] }),
  };
}

const OPAQUE = { type: "object" };

function choicesOf(schema) {
  if (Array.isArray(schema.enum)) return schema.enum;
  return Object.hasOwn(schema, "const") ? [schema.const] : null;
}

/** The field of one member, by its JSON Schema. */
function member(name, schema, required, root) {
  const all = alternatives(schema, root);
  const some = all.filter((one) => one.type !== "null");
  const nullable = some.length < all.length;
  const hint = schema?.description ?? some[0]?.description ?? "";
  // Where it is needed and may be null, whoever fills in nothing says null.
  const options = { required: required && !nullable, hint, empty: required && nullable ? null : undefined };
  const choices = some.map(choicesOf);
  if (choices.length > 0 && !choices.includes(null)) return choiceField(name, choices.flat(), options);
  const types = new Set(some.map((one) => one.type));
  if (types.size === 1) {
    switch (some[0].type) {
      case "string": {
        const mayBeEmpty = options.required && some.some((one) => !(one.minLength > 0));
        return textField(name, { ...options, mayBeEmpty });
      }
      case "number": return numberField(name, false, options);
      case "integer": return numberField(name, true, options);
      case "boolean": return choiceField(name, [true, false], options, (yes) => (yes ? "yes" : "no"));
      case undefined: return anyField(name, options);
      default: return jsonField(name, options);
    }
  }
  if (types.has("string") || types.has(undefined)) return anyField(name, options);
  if ([...types].every((type) => type === "number" || type === "integer") && types.size > 0) {
    return numberField(name, false, options);
  }
  return jsonField(name, options);
}

/**
 * The members that an object of these alternatives has, and which of them it needs in any case.
 * None where the alternatives have different ones: that takes the whole as JSON.
 */
function members(required, all) {
  const objects = all.filter((one) => one.type === undefined || one.type === "object");
  const names = Object.keys(objects[0]?.properties ?? {});
  const alike = objects.every((one) => {
    const own = Object.keys(one.properties ?? {});
    return own.length === names.length && own.every((name) => names.includes(name));
  });
  // An object is needed where members are; otherwise it may be the whole answer that is something else.
  if (!alike || objects.length === 0 || (required.length === 0 && objects.length < all.length)) {
    return { needed: new Set(), properties: {} };
  }
  const always = (objects[0].required ?? []).filter(
    (name) => objects.every((one) => one.required?.includes(name)));
  const properties = names.map((name) => [name, oneOf(objects.map((one) => one.properties[name]))]);
  return { needed: new Set([...required, ...always]), properties: Object.fromEntries(properties) };
}

/** The one schema that all of these are, or that one of them must hold. */
function oneOf(schemas) {
  const different = new Map(schemas.map((one) => [JSON.stringify(one), one]));
  return different.size === 1 ? schemas[0] : { anyOf: [...different.values()] };
}

/** The fields of a shape, and how its value is put together from them. */
function plan(shape) {
  if (shape.kind === "choice") {
    const only = choiceField("Choose one", shape.choices ?? [], { required: true });
    return { fields: [only], value: () => only.read() };
  }
  if (shape.kind !== "json") {
    const only = textField("Your answer", { required: true, rows: 6 });
    return { fields: [only], value: () => only.read() };
  }
  const root = shape.schema ?? undefined;
  const { needed, properties } = members(shape.required_fields ?? [], alternatives(root, root));
  const names = [...new Set([...needed, ...Object.keys(properties)])];
  if (names.length === 0) {
    const only = root === undefined
      ? jsonField("Your answer", { required: true }) : member("Your answer", root, true, root);
    return { fields: [only], value: () => only.read() };
  }
  const of = (name) => (Object.hasOwn(properties, name) ? properties[name] : undefined);
  const fields = names.map((name) => member(name, of(name), needed.has(name), root));
  const value = () => Object.fromEntries(
    fields.map((one) => [one.name, one.read()]).filter(([, given]) => given !== undefined));
  return { fields, value };
}

/**
 * A form for answers of this shape: put `nodes` into the page, call `value()` for the answer.
 * `value` throws FieldProblem for what is missing or malformed; the rest is the box's to judge.
 */
export function answerForm(shape) {
  const { fields, value } = plan(shape);
  return {
    nodes: fields.map((one) => one.box),
    value() {
      for (const one of fields) {
        if (one.read() === undefined && one.required) {
          throw new FieldProblem(one.control, `${one.name}: this is needed`);
        }
      }
      return value();
    },
    /** The control a fault's path ($.member) is about, or null. */
    control(path) {
      const name = path.replace(/^\$\.?(value\.?)?/, "").split(/[.[]/)[0];
      const about = fields.length === 1 ? fields[0] : fields.find((one) => one.name === name);
      return about?.control ?? null;
    },
  };
}
