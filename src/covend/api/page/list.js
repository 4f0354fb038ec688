// The list of tasks: those that wait, soonest first, and those whose drafts were not sent.

import { element } from "./dom.js";
import * as drafts from "./drafts.js";
import { dueText, keyOf, promise, waits } from "./task.js";

const $ = (id) => document.getElementById(id);

/** Draw the tasks that wait, and those whose drafts were not sent; `open` is called with a key. */
export function drawRows(tasks, chosen, open) {
  const shown = tasks.filter((task) => waits(task) || drafts.has(keyOf(task)));
  const order = (task) => [waits(task) ? 0 : 1, task.due ?? Infinity, task.opened];
  shown.sort((one, other) => {
    const [first, second] = [order(one), order(other)];
    const at = first.findIndex((part, index) => part !== second[index]);
    return at < 0 ? 0 : first[at] - second[at];
  });
  const waiting = shown.filter(waits);
  const focused = document.activeElement?.dataset?.key;
  $("tasks").replaceChildren(...shown.map((task) => row(task, keyOf(task) === chosen, open)));
  $("empty").hidden = waiting.length > 0;
  document.title = waiting.length > 0 ? `(${waiting.length}) Inbox · covend` : "Inbox · covend";
  const people = [...new Set(waiting.map((task) => task.did).filter(Boolean))].sort();
  $("people").replaceChildren(...people.map((did) => element("option", { value: did })));
  if (focused) rowOf(focused)?.focus({ preventScroll: true });
}

/** The button of a task in the list; null where it is not there. */
export function rowOf(key) {
  return $("tasks").querySelector(`[data-key="${CSS.escape(key)}"]`);
}

function row(task, isChosen, open) {
  const key = keyOf(task);
  const about = [task.did, task.state === "open" ? "" : promise(task) || task.state, waits(task) ? dueText(task) : ""];
  const unsent = drafts.has(key) ? element("span", { class: "unsent" }, " · not sent yet") : null;
  if (unsent && !waits(task)) unsent.textContent = " · not sent";
  const button = element("button",
    { type: "button", "data-task": task.id, "data-key": key, "aria-current": String(isChosen) },
    element("span", { class: "ask" }, task.question || "(no question)"),
    element("span", { class: "about" }, about.filter(Boolean).join(" · "), unsent));
  button.addEventListener("click", () => open(key));
  return element("li", {}, button);
}
