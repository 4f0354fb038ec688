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
  return field(name, control, () => (control.value === "" ? undefined : control.value), options);
}

function numberField(name, whole, options) {
  const control = element("input", { inputmode: whole ? "numeric" : "decimal" });
  const right = whole ? "a whole number" : "a number";
  return field(name, control, () => {
    const given = control.value.trim();
    if (given === "") return undefined;
    const value = Number(given);
    if (!Number.isFinite(value) || (whole && !Number.isSafeInteger(value))) {
      throw new FieldProblem(control, `${name}: ${right} is right`);
    }
    return value;
  }, { ...options, hint: options.hint || right });
}

function jsonField(name, options) {
  const control = element("textarea", { rows: 5, class: "json", spellcheck: "false" });
  return field(name, control, () => {
    if (control.value.trim() === "") return undefined;
    try {
      return JSON.parse(control.value);
    } catch (error) {
      throw new FieldProblem(control, `${name}: this is not JSON: ${error.message}`);
    }
  }, { ...options, hint: options.hint || "JSON; text in double quotes" });
}

/** Text in a line, or JSON where it looks like JSON: for fields without a type. */
function anyField(name, options) {
  const control = element("textarea", { rows: 1 });
  return field(name, control, () => {
    if (control.value === "") return undefined;
    try {
      return JSON.parse(control.value);
    } catch {
      return control.value;
    }
  }, { ...options, hint: options.hint || "text, or JSON" });
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
    return checked === null ? undefined : choices[Number(checked.value)];
  };
  return { name, box, control: box.querySelector("input") ?? box, required: options.required, read };
}

/** The field of one member, by its JSON Schema. */
function member(name, schema, required) {
  const options = { required, hint: schema?.description ?? "" };
  if (Array.isArray(schema?.enum)) return choiceField(name, schema.enum, options);
  switch (schema?.type) {
    case "string": return textField(name, options);
    case "number": return numberField(name, false, options);
    case "integer": return numberField(name, true, options);
    case "boolean": return choiceField(name, [true, false], options, (yes) => (yes ? "yes" : "no"));
    case undefined: return anyField(name, options);
    default: return jsonField(name, options);
  }
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
  const properties = shape.schema?.properties ?? {};
  const needed = new Set([...(shape.required_fields ?? []), ...(shape.schema?.required ?? [])]);
  const names = [...new Set([...needed, ...Object.keys(properties)])];
  if (names.length === 0) {
    const only = jsonField("Your answer", { required: true });
    return { fields: [only], value: () => only.read() };
  }
  const fields = names.map((name) => member(name, properties[name], needed.has(name)));
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
