// The task that is shown: what it asks, how it stands, and which words on it are possible still.

import * as drafts from "./drafts.js";
import { answerForm } from "./form.js";
import { refuse } from "./refusal.js";
import { dueText, facts, keyOf, outcome, promise, waits } from "./task.js";

const $ = (id) => document.getElementById(id);

/** The form of each word, by its act. */
export const FORMS = { submit: "answer", accept: "accept", decline: "decline" };

/** Draw what a task asks, with what was typed into its form before. Returns the answer's form. */
export function drawTask(task) {
  $("task").hidden = false;
  $("question").textContent = task.question || "(no question)";
  $("facts").replaceChildren(...facts(task));
  for (const name of Object.values(FORMS)) {
    $(name).reset();
    refuse($(name), "");
  }
  const form = answerForm(task.answer_shape ?? { kind: "text" });
  $("fields").replaceChildren(...form.nodes);
  drafts.fill(keyOf(task), $("answer"));
  $("sure").open = $("confidence").value !== "" || $("rationale").value !== "";
  return form;
}

/**
 * Draw how a task stands. `isSending` is whether a word on it is under way, `wished` until when the
 * last eta was to extend it, if there was one.
 */
export function drawState(task, key, isSending, wished) {
  const over = !waits(task);
  const left = over && !isSending && drafts.has(key);
  $("state").textContent = promise(task) ? "promised" : task.state;
  $("state").dataset.state = task.state;
  drawTimes(task, key, left, wished);
  $("outcome").hidden = task.state === "open";
  $("outcome").className = left ? "unsent" : "";
  $("answer").hidden = over && !left;
  $("heading").textContent = left ? "Not sent" : "Answer";
  $("discard").hidden = !left;
  $("answer").querySelector(".main").hidden = over;
  for (const control of $("answer").querySelectorAll("input, textarea")) {
    if (control.type === "radio" || control.type === "checkbox") control.disabled = over;
    else control.readOnly = over;
  }
  if (over) refuse($("answer"), "");
  $("others").hidden = over;
  const promised = task.state === "accepted" && !promise(task);
  $("accept").querySelector("h3").textContent = promised ? "Ask for more time" : "Take it on";
  $("accept").querySelector("button").textContent = promised ? "Extend" : "Accept";
  const other = task.in_place_of;
  $("decline").hidden = Boolean(other);
  $("stays").hidden = !other;
  $("stays").textContent = other ? `Only ${other} can decline this: leave it, and nothing is lost.` : "";
}

/** Draw what is said of time, which passes also while nothing else changes. */
export function drawTimes(task, key, left, wished) {
  const over = !waits(task);
  $("due").textContent = over ? "" : dueText(task);
  $("due").className = task.due && task.due / 1000 < Date.now() ? "late" : "";
  const said = outcome(task, left, drafts.isDoubtful(key), wished);
  if ($("outcome").textContent !== said) $("outcome").textContent = said;
}
