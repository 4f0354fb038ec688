// How a task is told to a person: what it is about, when it is due, what became of it.

import { element, readable } from "./dom.js";

/** Two people may share a task, which each has in a state of theirs. */
export function keyOf(task) {
  return JSON.stringify([task.id, task.did ?? null]);
}

/** All of a task that may change while it is shown. */
export function standing(task) {
  return JSON.stringify([task?.state, task?.due, task?.promised_by]);
}

export function waits(task) {
  return task.state === "open" || task.state === "accepted";
}

/** Microseconds since 1970 as a distance from now: "in 3 h", "5 min ago". */
function distance(clock) {
  const seconds = clock / 1e6 - Date.now() / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  return words.format(Math.round(seconds / size), unit);
}

export function dueText(task) {
  if (task.due === null || task.due === undefined) return "";
  return `due ${distance(task.due)}`;
}

/** What the task is about, as the terms and descriptions of a list. */
export function facts(task) {
  const given = task.input ?? null;
  const about = given !== null && typeof given === "object" && "inline" in given ? given.inline : given;
  const empty = about === null || about === undefined || (typeof about === "object" && Object.keys(about).length === 0);
  const found = [];
  if (task.show !== null && task.show !== undefined) found.push(["What is to be judged", task.show]);
  if (!empty) found.push(["About", about]);
  if (task.left_out?.length > 0) found.push(["Too large to be shown here", task.left_out.join(", ")]);
  if (task.did) found.push(["For", task.in_place_of ? `${task.did}, in place of ${task.in_place_of}` : task.did]);
  if (task.thread) found.push(["Query", task.thread]);
  return found.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {},
    typeof value === "string" && value.length < 120 ? value : element("pre", {}, readable(value)))]);
}

/** That somebody else promised an answer, where its person did not; "" of any other task. */
export function promise(task) {
  const all = task.promised_by ?? [];
  const isOthers = task.state === "accepted" && all.length > 0 && !all.includes(task.did);
  return isOthers ? `${all.join(" and ")} promised an answer` : "";
}

const EXTENSIONS = "The time for it can be extended twice in all; an eta that extends it when it is "
  + "taken on is one of the two.";

/** What an acceptance came to; `wished` is what its eta said, in microseconds, where one was just given. */
function accepted(task, wished) {
  return `${promise(task) || "Taken on"}, ${dueText(task)}${unlike(task, wished)}. ${EXTENSIONS}`;
}

/** Why the due time is not what was wished. */
function unlike(task, wished) {
  if (wished === undefined) return "";
  if (task.due > wished + MINUTE) return `, as before: ${distance(wished)} is sooner, and an eta can only make it later`;
  if (task.due < wished - MINUTE) return `: the query itself ends then, and does not wait for what is due ${distance(wished)}`;
  return "";
}

const MINUTE = 60e6;  // microseconds: people's clocks and ours differ
const OUTCOMES = {
  submitted: "Submitted. Thank you.",
  declined: "Declined.",
  expired: "Nobody answered in time; this is over.",
  withdrawn: "The query has ended, so this is no longer asked.",
};
const NOT_SENT = "What you typed was not sent; it is kept below, to be copied.";

/**
 * What became of a task; `left` is whether something typed was not sent, `doubtful` if it may have
 * been, `wished` until when an eta was to extend it.
 */
export function outcome(task, left, doubtful, wished) {
  if (task.state === "accepted") return accepted(task, wished);
  if (!left) return OUTCOMES[task.state] ?? "";
  if (task.state !== "submitted") return `${OUTCOMES[task.state]} ${NOT_SENT}`;
  return doubtful
    ? "This is submitted: with what you sent when the connection was lost, or from elsewhere. "
      + "What you typed is kept below."
    : `This was submitted from elsewhere. ${NOT_SENT}`;
}
