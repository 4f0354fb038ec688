// The inbox: a list of tasks kept live by server-sent events, and one task to read and answer.

import { asItIs, events, look, speak, useKey } from "./box.js";
import * as drafts from "./drafts.js";
import { Faults } from "./fields.js";
import { drawRows, rowOf } from "./list.js";
import { FORMS, drawState, drawTask, drawTimes } from "./panel.js";
import { MARKED, explain, focusFault, refuse } from "./refusal.js";
import { keyOf, standing, waits } from "./task.js";

const $ = (id) => document.getElementById(id);
const tasks = new Map();  // by keyOf
let chosen = null;     // the key of the task that is shown
let linked = null;     // the id of the task that the address names, until it has come
let form = null;       // its answer's form
let sending = null;    // the key of the task on which a word is under way
let wished = null;     // what the last eta was to come to: a task's key and a time in microseconds
let following = null;  // aborts the stream of the person before
const RETRY = [1000, 2000, 5000];  // milliseconds

function pause(failures) {
  return new Promise((resolve) => setTimeout(resolve, RETRY[Math.min(failures, RETRY.length - 1)]));
}

// ── what the box tells ────────────────────────────────────────────────────────────────────────

async function follow(did) {
  following?.abort();
  const mine = (following = new AbortController());
  const shown = tasks.get(chosen);
  tasks.clear();
  if (shown) tasks.set(chosen, shown);
  drawList();
  for (let failures = 0; !mine.signal.aborted; failures += 1) {
    const told = new Set();
    try {
      for await (const [name, data] of events(did, mine.signal, () => live("on", "live"))) {
        failures = 0;
        if (name === "task") {
          take(data);
          told.add(keyOf(data));
        } else if (name === "told") {
          $("more").hidden = !data.more;
          await forget(told, did);
          await missed(did);
        }
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) {
        askForKey();
        return;
      }
      if (error.status === 400 || error.status === 403) {
        live("off", "refused");
        say(error.message);
        return;
      }
    }
    live("wait", "reconnecting…");
    await pause(failures);
  }
}

function take(task) {
  const key = keyOf(task);
  const before = tasks.get(key);
  tasks.set(key, task);
  if (task.id === linked && waits(task)) {
    linked = null;
    open(key);
    return;
  }
  drawList();
  if (key === chosen && standing(before) !== standing(task)) drawStanding(task);
}

/**
 * Forget what is not among what was told, as it ended meanwhile. What is shown or typed stays as
 * long as the box shows it to this key: another's drafts are kept, and seen by nobody else.
 */
async function forget(told, did) {
  const typed = drafts.tasks().filter((task) => !did || task.did === did);
  const held = new Map([...typed, ...tasks.values()].map((task) => [keyOf(task), task]));
  for (const [key, task] of held) {
    if (told.has(key)) continue;
    if (key !== chosen && !drafts.has(key)) tasks.delete(key);
    else if (waits(task)) await lookAgain(key, task);
    else tasks.set(key, task);
  }
  drawList();
}

async function lookAgain(key, task) {
  try {
    take(await asItIs(task));
  } catch (error) {
    if (error.status !== 403) throw error;
    tasks.delete(key);
    if (key === chosen) close();
  }
}

/** Say what is with the task that the address names, where it is not among those that wait. */
async function missed(did) {
  if (linked === null) return;
  const id = linked;
  linked = null;
  const draft = [...tasks.entries()].find(([key, task]) => task.id === id && drafts.has(key));
  if (draft) {
    open(draft[0]);
    return;
  }
  try {
    const task = await look(id, did).catch((error) => {
      if (error.status !== 404 || !did) throw error;
      return look(id);  // then whose it is can be said
    });
    if (waits(task) && did && task.did !== did) {
      say(`The question of this link is asked of ${task.did}.`);
      return;
    }
    tasks.set(keyOf(task), task);
    open(keyOf(task));
    if (!waits(task)) say("The question of this link waits for an answer no more.");
  } catch (error) {
    say(error.status === 404
      ? "The question of this link waits no more, or is another person's: the box has none for you here."
      : error.message);
  }
}

/** Look for the task that the address names: in what has come, or in what comes. */
function followLink() {
  try {
    linked = decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    linked = null;  // no address of ours
  }
  const found = [...tasks.values()].find((task) => task.id === linked && waits(task));
  if (found) take(found);
}

// ── the page ──────────────────────────────────────────────────────────────────────────────────

function live(state, text) {
  $("live").dataset.state = state;
  $("live").textContent = text;
}

function say(text) {
  $("error").textContent = text;
  $("error").hidden = text === "";
}

function askForKey() {
  live("off", "an API key is needed");
  $("key").hidden = false;
  $("secret").focus();
}

function drawList() {
  drawRows([...tasks.values()], chosen, open);
}

/** On a narrow screen one of the two is seen; the address names the task, so that a reload shows it. */
function shows(what) {
  const main = document.querySelector("main");
  const address = `${location.pathname}${location.search}`;
  if (what === "list") history.replaceState(null, "", address);
  else {
    const name = `${address}#${encodeURIComponent(tasks.get(chosen).id)}`;
    if (main.dataset.shows === "list" && location.hash === "") history.pushState(null, "", name);
    else history.replaceState(null, "", name);
  }
  main.dataset.shows = what;
}

/** Back to the list, with the focus on the row that was left. */
function back() {
  shows("list");
  const left = rowOf(chosen ?? "") ?? $("tasks").querySelector("button") ?? $("did");
  left.focus();
}

// ── one task ──────────────────────────────────────────────────────────────────────────────────

/** Show a task. One that is shown already stays as it is, with what is typed into it. */
function open(key) {
  if (key !== chosen) {
    chosen = key;
    drawNew(tasks.get(key));
  }
  shows("task");
  drawList();
  rowOf(key)?.scrollIntoView({ block: "nearest" });
  if ($("task").getBoundingClientRect().top < 0) $("task").scrollIntoView();
  $("question").focus({ preventScroll: true });
}

/** Show no task. */
function close() {
  chosen = null;
  $("task").hidden = true;
  shows("list");
}

function drawNew(task) {
  say("");
  wished = null;
  form = drawTask(task);
  drawStanding(task);
}

function drawStanding(task) {
  drawState(task, chosen, sending === chosen, wish());
}

/** What the last eta on the task that is shown was to come to. */
function wish() {
  return wished?.key === chosen ? wished.clock : undefined;
}

// ── a person's word ───────────────────────────────────────────────────────────────────────────

function clearFaults() {
  say("");
  for (const name of Object.values(FORMS)) refuse($(name), "");
  form?.clear();
}

async function act(name, body) {
  const key = chosen;
  const task = tasks.get(key);
  const where = $(FORMS[name]);
  const buttons = [...document.querySelectorAll("#task [type=submit]")];
  const enable = (yes) => buttons.forEach((button) => { button.disabled = !yes; });
  const spoken = Date.now() * 1000;
  enable(false);
  sending = key;
  try {
    const now = await speak(task.id, name, { did: task.did ?? $("did").value.trim(), ...body });
    if (name === "submit") drafts.drop(key);
    sending = null;
    wished = body.eta_secs === undefined ? null : { key, clock: spoken + body.eta_secs * 1e6 };
    enable(true);
    take(now);
    if (chosen === key) {
      drawStanding(now);
      $("outcome").focus();
    }
  } catch (error) {
    sending = null;
    enable(true);
    if (name === "submit" && error.doubtful) drafts.doubt(key);
    if (chosen === key) {
      drawStanding(tasks.get(key));
      explain(error, where, form);
    } else say(`${task.question}: ${error.message}`);
    if (error.status === 401) askForKey();
    if (error.doubtful || error.status === 404 || error.status === 409) settle(key, error, where);
  }
}

/** See how a task stands after a word that was not taken, or may have been: then silence is over. */
async function settle(key, after, where) {
  for (let failures = 0; tasks.has(key); failures += 1) {
    if (after.doubtful) await pause(failures);
    try {
      const now = await asItIs(tasks.get(key));
      if (where.querySelector(".said").hasAttribute("data-lost")) refuse(where, "");
      take(now);
      return;
    } catch (error) {
      if (!error.doubtful) return;  // the box says nothing of it to this key
      after = error;
    }
  }
}

// ── what a person does ────────────────────────────────────────────────────────────────────────

/** A member only where something was filled in. */
function given(name, value) {
  return value === "" || value === undefined ? {} : { [name]: value };
}

$("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  clearFaults();
  try {
    const sure = $("confidence").value;
    act("submit", {
      value: form.value(),
      ...given("confidence", sure === "" ? "" : Number(sure)),
      ...given("rationale", $("rationale").value),
    });
  } catch (error) {
    if (!(error instanceof Faults)) throw error;
    for (const [field, text] of error.list) field.mark(text);
    refuse($("answer"), MARKED);
    focusFault($("answer"));
  }
});

$("answer").addEventListener("input", () => {
  const had = drafts.has(chosen);
  drafts.keep(chosen, tasks.get(chosen), $("answer"));
  if (had !== drafts.has(chosen)) drawList();
});

// What the browser itself finds wrong cannot be seen while its frame is closed.
$("answer").addEventListener("invalid", () => { $("sure").open = true; }, true);

$("discard").addEventListener("click", () => {
  drafts.drop(chosen);
  drawStanding(tasks.get(chosen));
  drawList();
  $("outcome").focus();
});

$("accept").addEventListener("submit", (event) => {
  event.preventDefault();
  clearFaults();
  act("accept", { eta_secs: Number($("eta").value) * 60 });
});

$("decline").addEventListener("submit", (event) => {
  event.preventDefault();
  clearFaults();
  act("decline", { reason: $("reason").value, ...given("note", $("note").value) });
});

$("back").addEventListener("click", back);

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const did = $("did").value.trim();
  history.replaceState(null, "", did ? `?did=${encodeURIComponent(did)}` : location.pathname);
  close();
  say("");
  follow(did);
});

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("secret").value.trim());
  $("secret").value = "";
  $("key").hidden = true;
  follow($("did").value.trim());
});

$("did").value = new URLSearchParams(location.search).get("did") ?? "";
setInterval(() => {
  drawList();
  if (waits(tasks.get(chosen) ?? {})) drawTimes(tasks.get(chosen), chosen, false, wish());
}, 30000);  // distances in time grow
addEventListener("beforeunload", (event) => {
  if (!drafts.areSafe()) event.preventDefault();
});
addEventListener("hashchange", () => {
  if (location.hash === "") {
    back();
    return;
  }
  followLink();
  missed($("did").value.trim());
});
followLink();
follow($("did").value.trim());
