// The form of an answer: made from its shape, read back as a value.

import {
  anyField, choiceField, gathered, groupField, jsonField, linesField, numberField,
  severalField, textField,
} from "./fields.js";
import { aboutOf, alternatives, choicesOf, members, rightFor, shownOf } from "./schema.js";

const MAX_DEPTH = 2;  // frames within frames: what is deeper, or goes in circles, takes JSON

/** The choices of all of these schemas; null where one of them has none. */
function choicesOfAll(all) {
  const choices = all.map(choicesOf);
  return choices.length > 0 && !choices.includes(null) ? choices.flat() : null;
}

/** The field of one member, by its JSON Schema. */
function member(name, schema, required, root, depth = 0) {
  const all = alternatives(schema, root);
  const some = all.filter((one) => one.type !== "null");
  const nullable = some.length < all.length;
  const about = aboutOf(name, schema, some);
  const types = new Set(some.map((one) => one.type));
  const kinds = [...types];
  // Where it is needed and may be null, whoever fills in nothing says null.
  const base = { required: required && !nullable, empty: required && nullable ? null : undefined };
  const hinted = (kind) => ({ ...base, hints: [about, rightFor(some, kind)] });
  const asJson = () => jsonField(name, {
    ...base, hints: [about, rightFor(some), "JSON; text in double quotes"], schema: shownOf(some, root) });
  const choices = choicesOfAll(some);
  if (choices) return choiceField(name, choices, { ...base, hints: [about] });
  if (kinds.length === 1) {
    switch (kinds[0]) {
      case "string": {
        const mayBeEmpty = base.required && some.some((one) => !(one.minLength > 0));
        return textField(name, { ...hinted(), mayBeEmpty });
      }
      case "number": return numberField(name, false, hinted());
      case "integer": return numberField(name, true, hinted());
      case "boolean":
        return choiceField(name, [true, false], { ...base, hints: [about] }, (yes) => (yes ? "yes" : "no"));
      case "array": return list(name, some, base, hinted, root) ?? asJson();
      case "object": return group(name, some, { ...base, hints: [about] }, root, depth + 1) ?? asJson();
      case undefined: return anyField(name, { ...hinted(), schema: shownOf(some, root) });
      default: return asJson();
    }
  }
  if (types.has("string") || types.has(undefined)) return anyField(name, { ...hinted(), schema: shownOf(some, root) });
  if (kinds.length > 0 && kinds.every((type) => type === "number" || type === "integer")) {
    return numberField(name, false, hinted());
  }
  return asJson();
}

/** The field of a list of choices or of texts; null of any other. */
function list(name, some, base, hinted, root) {
  const [{ items, prefixItems, minItems }] = some;
  if (some.length > 1 || items === undefined || prefixItems !== undefined) return null;
  const each = alternatives(items, root);
  const mayBeEmpty = base.required && !(minItems > 0);
  const choices = choicesOfAll(each);
  if (choices) return severalField(name, choices, { ...hinted("any of these"), mayBeEmpty });
  if (each.some((one) => one.type !== "string")) return null;
  const right = rightFor(each);
  return linesField(name, { ...hinted(right ? `one item a line, each ${right}` : "one item a line"), mayBeEmpty });
}

/** The frame of an object whose members are known; null of any other. */
function group(name, some, options, root, depth) {
  const open = some.some((one) => one.patternProperties || typeof one.additionalProperties === "object");
  if (open || depth > MAX_DEPTH) return null;
  const fields = fieldsOf([], some, root, depth);
  return fields.length > 0 ? groupField(name, fields, options) : null;
}

/** The fields of an object's members, those that are needed first. */
function fieldsOf(required, all, root, depth = 0) {
  const { needed, properties } = members(required, all);
  const of = (name) => (Object.hasOwn(properties, name) ? properties[name] : undefined);
  return [...new Set([...needed, ...Object.keys(properties)])].map(
    (name) => member(name, of(name), needed.has(name), root, depth));
}

/** The fields of a shape; `whole` where the one field is all of the answer. */
function plan(shape) {
  const whole = (only) => ({ fields: [only], whole: true });
  if (shape.kind === "choice") return whole(choiceField("Choose one", shape.choices ?? [], { required: true }));
  if (shape.kind !== "json") return whole(textField("Your answer", { required: true, rows: 6 }));
  const root = shape.schema ?? undefined;
  const fields = fieldsOf(shape.required_fields ?? [], alternatives(root, root), root);
  if (fields.length > 0) return { fields, whole: false };
  return whole(root === undefined
    ? jsonField("Your answer", { required: true, hints: ["JSON; text in double quotes"] })
    : member("Your answer", root, true, root));
}

/** The field that a path inside the answer, ".a.b[0]" or so, is about; undefined where none is. */
function fieldAt(fields, path) {
  const leads = (one) => path.startsWith(`.${one.name}`) && /^($|[.[])/.test(path.slice(one.name.length + 1));
  const [one] = fields.filter(leads).sort((a, b) => b.name.length - a.name.length);
  return one && (fieldAt(one.fields, path.slice(one.name.length + 1)) ?? one);
}

function withInner(fields) {
  return fields.flatMap((one) => [one, ...withInner(one.fields)]);
}

/**
 * A form for answers of this shape: put `nodes` into the page, call `value()` for the answer.
 * `value` throws Faults for what is missing or malformed; the rest is the box's to judge, and
 * `mark` shows what it found. `mark` returns whether the path, "$.value.a" or so, has a field here.
 */
export function answerForm(shape) {
  const { fields, whole } = plan(shape);
  return {
    nodes: fields.map((one) => one.box),
    value() {
      const made = gathered(fields);
      return whole ? made[fields[0].name] : made;
    },
    mark(path, text) {
      if (!/^\$\.value($|[.[])/.test(path)) return false;
      const inside = path.slice("$.value".length);
      const about = whole ? fieldAt(fields[0].fields, inside) ?? fields[0] : fieldAt(fields, inside);
      about?.mark(text);
      return about !== undefined;
    },
    clear() {
      for (const one of withInner(fields)) one.mark("");
    },
  };
}
