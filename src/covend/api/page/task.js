// How a task is told to a person: what it is about, when it is due, what became of it.

import { element, readable } from "./dom.js";

/** Two people may share a task, which each has in a state of theirs. */
export function keyOf(task) {
  return JSON.stringify([task.id, task.did ?? null]);
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
  if (task.did) found.push(["For", task.did]);
  if (task.thread) found.push(["Query", task.thread]);
  return found.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {},
    typeof value === "string" && value.length < 120 ? value : element("pre", {}, readable(value)))]);
}

const OUTCOMES = {
  accepted: "Taken on; the time for it can be extended twice in all.",
  submitted: "Submitted. Thank you.",
  declined: "Declined.",
  expired: "Nobody answered in time; this is over.",
  withdrawn: "The query has ended, so this is no longer asked.",
};
const NOT_SENT = "What you typed was not sent; it is kept below, to be copied.";

/** What became of a task; `left` is whether something typed was not sent, `doubtful` if it may have been. */
export function outcome(task, left, doubtful) {
  if (!left) return OUTCOMES[task.state] ?? "";
  if (task.state !== "submitted") return `${OUTCOMES[task.state]} ${NOT_SENT}`;
  return doubtful
    ? "This is submitted: with what you sent when the connection was lost, or from elsewhere. "
      + "What you typed is kept below."
    : `This was submitted from elsewhere. ${NOT_SENT}`;
}
