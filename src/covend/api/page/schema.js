// JSON Schema, as far as a form can be made of it: which members, of which types, and what is right.

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
export function alternatives(schema, root, steps = { left: MAX_STEPS }) {
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

export function choicesOf(schema) {
  if (Array.isArray(schema.enum)) return schema.enum;
  return Object.hasOwn(schema, "const") ? [schema.const] : null;
}

/**
 * The members that an object of these alternatives has, and which of them it needs in any case.
 * None where the alternatives have different ones: that takes the whole as JSON.
 */
export function members(required, all) {
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

const KINDS = {
  string: "text", number: "a number", integer: "a whole number", boolean: "true or false",
  array: "a list", object: "an object",
};
const FORMATS = {
  date: "a date (2026-01-31)", time: "a time (14:30:00Z)", "date-time": "a date and time (2026-01-31T14:30:00Z)",
  email: "an email address", uri: "an address (https://…)", uuid: "a UUID",
};

function counted(count, what) {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

const BOUNDS = {
  format: (name) => FORMATS[name] ?? `format ${name}`,
  minimum: (bound) => `at least ${bound}`,
  exclusiveMinimum: (bound) => `more than ${bound}`,
  maximum: (bound) => `at most ${bound}`,
  exclusiveMaximum: (bound) => `less than ${bound}`,
  multipleOf: (step) => `a multiple of ${step}`,
  minLength: (count) => `at least ${counted(count, "character")}`,
  maxLength: (count) => `at most ${counted(count, "character")}`,
  pattern: (pattern) => `matching ${pattern}`,
  minItems: (count) => `at least ${counted(count, "item")}`,
  maxItems: (count) => `at most ${counted(count, "item")}`,
  uniqueItems: (unique) => (unique ? "each once" : ""),
};

function boundsOf(schema) {
  return Object.entries(BOUNDS).filter(([name]) => Object.hasOwn(schema, name))
    .map(([name, said]) => said(schema[name])).filter(Boolean);
}

/** What is right for one of these, in words; `kind` says it better than the name of the type. */
export function rightFor(all, kind) {
  const said = [...new Set(all.map((one) => right(one, kind)))].join(" or ");
  return said === KINDS.string ? "" : said;  // that a field takes text goes without saying
}

function right(schema, kind = KINDS[schema.type]) {
  const bounds = boundsOf(schema);
  return [kind === KINDS.string && bounds.length > 0 ? "" : kind, ...bounds].filter(Boolean).join(", ");
}

/** What a schema says of itself: its title, unless that is but the member's name, and description. */
export function aboutOf(name, schema, all) {
  const plain = (text) => text.replaceAll(/[\s_-]/g, "").toLowerCase();
  const [title, description] = ["title", "description"].map((part) => {
    const text = schema?.[part] ?? all[0]?.[part];
    return typeof text === "string" && plain(text) !== plain(name) ? text : "";
  });
  return [title, description].filter(Boolean).join(": ");
}

/** The schema to show where there is no form for it; undefined where its type says it all. */
export function shownOf(all, root) {
  const said = all.map(({ title, description, type, $defs, ...more }) => ({ type, ...more }));
  if (said.every((one) => Object.keys(one).length === 1)) return undefined;
  const shown = said.length === 1 ? said[0] : { anyOf: said };
  const refers = JSON.stringify(shown).includes('"$ref"');
  return refers && isObject(root?.$defs) ? { ...shown, $defs: root.$defs } : shown;
}
