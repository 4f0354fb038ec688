// What was typed and not sent, by task: kept as long as the tab lives, so that a reload loses nothing.

import { held, isTick } from "./fields.js";

const PREFIX = "covend-draft ";
const drafts = new Map();    // by the task's key: { task, controls, doubtful }
const unstored = new Set();  // the keys of those that the browser would not store

try {
  for (const name of Object.keys(sessionStorage).filter((each) => each.startsWith(PREFIX))) {
    drafts.set(name.slice(PREFIX.length), JSON.parse(sessionStorage.getItem(name)));
  }
} catch {
  // a browser that stores nothing for this page: then drafts live as long as the page
}

function store(key, draft) {
  drafts.set(key, draft);
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify(draft));
    unstored.delete(key);
  } catch {
    unstored.add(key);  // full or forbidden: whoever leaves the page is asked first
  }
}

function controlsOf(form) {
  return [...form.elements].filter((one) => one.matches("input, textarea"));
}

/** Keep what the form of a task holds; a form that holds nothing is no draft. */
export function keep(key, task, form) {
  const controls = controlsOf(form).map(held);
  if (!controls.some(Boolean)) {
    drop(key);
    return;
  }
  const { id, did, in_place_of, thread, question, answer_shape, opened } = task;
  const about = { id, did, in_place_of, thread, question, answer_shape, opened, state: "open" };
  store(key, { task: about, controls, doubtful: isDoubtful(key) });
}

/** Put the draft of a task, if there is one, into its form. */
export function fill(key, form) {
  const kept = drafts.get(key)?.controls ?? [];
  const controls = controlsOf(form);
  if (kept.length !== controls.length) return;
  controls.forEach((one, index) => {
    if (isTick(one)) one.checked = kept[index];
    else one.value = kept[index];
  });
}

export function has(key) {
  return drafts.has(key);
}

/** It was sent, or is not wanted any more. */
export function drop(key) {
  drafts.delete(key);
  unstored.delete(key);
  try {
    sessionStorage.removeItem(PREFIX + key);
  } catch {
    // what stores nothing has nothing to remove
  }
}

/** It was sent, and no answer came. */
export function doubt(key) {
  if (drafts.has(key)) store(key, { ...drafts.get(key), doubtful: true });
}

export function isDoubtful(key) {
  return drafts.get(key)?.doubtful ?? false;
}

/** The tasks that have drafts, without what they are about. */
export function tasks() {
  return [...drafts.values()].map((draft) => draft.task);
}

/** Whether a reload would lose nothing. */
export function areSafe() {
  return unstored.size === 0;
}
