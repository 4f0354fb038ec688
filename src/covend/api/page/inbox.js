// The inbox: a list of tasks kept live by server-sent events, and one task to read and answer.

import { FieldProblem, answerForm, element, readable } from "./form.js";

const $ = (id) => document.getElementById(id);
const tasks = new Map();  // by keyOf: two people may share a task, which each has in a state of theirs
let chosen = null;     // the key of the task that is shown
let linked = null;     // the id of the task that the address names, until it has come
let form = null;       // its answer's form
let following = null;  // aborts the stream of the person before
const RETRY = [1000, 2000, 5000];

// ── the box ───────────────────────────────────────────────────────────────────────────────────

class BoxError extends Error {
  constructor(status, text, errors = []) {
    super(text);
    this.status = status;
    this.errors = errors;
  }
}

function headers(more = {}) {
  const key = sessionStorage.getItem("covend-key");
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

async function fault(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // an answer without JSON has nothing to say but its status
  }
  const text = body.detail ?? body.error?.message ?? `the box answered ${response.status}`;
  return new BoxError(response.status, text, body.errors ?? []);
}

const UNKNOWN = "no answer came, so it is not known whether this arrived. Once the connection is back "
  + "the task shows it if it did; the same answer sent again counts once.";

/** What the box answers; `silence` is what to say where nothing comes back. */
async function ask(path, options, silence) {
  let response;
  try {
    response = await fetch(path, options);
    if (response.ok) return await response.json();
  } catch {
    throw new BoxError(0, silence);
  }
  throw await fault(response);
}

function post(path, body) {
  const sent = { method: "POST", headers: headers({ "Content-Type": "application/json" }) };
  return ask(path, { ...sent, body: JSON.stringify(body) }, UNKNOWN);
}

/** A task as the box has it now. */
function look(id) {
  return ask(`/api/inbox/${encodeURIComponent(id)}`, { headers: headers() }, "the box cannot be reached");
}

// ── the stream ────────────────────────────────────────────────────────────────────────────────

// EventSource cannot send an API key, so the stream is read by hand: pairs of a name and its data.
async function* events(path, signal) {
  const response = await fetch(path, { headers: headers(), signal });
  if (!response.ok) throw await fault(response);
  live("on", "live");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const of = (name) => lines.filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2));
      const data = of("data");
      if (data.length > 0) yield [of("event")[0], JSON.parse(data.join("\n"))];
    }
  }
}

async function follow(did) {
  following?.abort();
  const mine = (following = new AbortController());
  tasks.clear();
  drawList();
  const path = `/api/inbox/events${did ? `?did=${encodeURIComponent(did)}` : ""}`;
  for (let failures = 0; !mine.signal.aborted; failures += 1) {
    const told = new Set();
    try {
      for await (const [name, data] of events(path, mine.signal)) {
        failures = 0;
        if (name === "task") {
          take(data);
          told.add(keyOf(data));
        } else if (name === "told") {
          $("more").hidden = !data.more;
          await forget(told);
          await missed(did);
        }
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) {
        live("off", "an API key is needed");
        $("key").hidden = false;
        $("secret").focus();
        return;
      }
      if (error.status === 400 || error.status === 403) {
        live("off", "refused");
        say(error.message);
        return;
      }
    }
    live("wait", "reconnecting…");
    const pause = RETRY[Math.min(failures, RETRY.length - 1)];
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function keyOf(task) {
  return JSON.stringify([task.id, task.did ?? null]);
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
  if (key === chosen && (before?.state !== task.state || before?.due !== task.due)) drawState(task);
}

/** Forget what is not among what was told: it ended while the page was cut off. */
async function forget(told) {
  const shown = tasks.get(chosen);
  for (const key of [...tasks.keys()]) if (!told.has(key) && key !== chosen) tasks.delete(key);
  if (shown && waits(shown) && !told.has(chosen)) take({ ...shown, state: await endOf(shown.id) });
  drawList();
}

/** What became of a task that waits no more. */
async function endOf(id) {
  try {
    const task = await look(id);
    if (!waits(task)) return task.state;
  } catch (error) {
    if (error.status === 0) throw error;  // it is looked at again after the next connection
  }
  return "withdrawn";
}

/** Say what is with the task that the address names, where it is not among those that wait. */
async function missed(did) {
  if (linked === null) return;
  const id = linked;
  linked = null;
  try {
    const task = await look(id);
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

// ── drawing ───────────────────────────────────────────────────────────────────────────────────

function live(state, text) {
  $("live").dataset.state = state;
  $("live").textContent = text;
}

function say(text) {
  $("error").textContent = text;
  $("error").hidden = text === "";
}

function waits(task) {
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

function dueText(task) {
  if (task.due === null || task.due === undefined) return "";
  return `due ${distance(task.due)}`;
}

function drawList() {
  const waiting = [...tasks.values()].filter(waits).sort(
    (one, other) => (one.due ?? Infinity) - (other.due ?? Infinity) || one.opened - other.opened);
  const focused = document.activeElement?.dataset?.key;
  $("tasks").replaceChildren(...waiting.map(row));
  $("empty").hidden = waiting.length > 0;
  document.title = waiting.length > 0 ? `(${waiting.length}) Inbox · covend` : "Inbox · covend";
  const people = [...new Set(waiting.map((task) => task.did).filter(Boolean))].sort();
  $("people").replaceChildren(...people.map((did) => element("option", { value: did })));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function row(task) {
  const key = keyOf(task);
  const button = element("button",
    { type: "button", "data-task": task.id, "data-key": key, "aria-current": String(key === chosen) },
    element("span", { class: "ask" }, task.question || "(no question)"),
    element("span", { class: "about" },
      [task.did, task.state === "accepted" ? "accepted" : "", dueText(task)]
        .filter(Boolean).join(" · ")));
  button.addEventListener("click", () => open(key));
  return element("li", {}, button);
}

function open(key) {
  const task = tasks.get(key);
  chosen = key;
  say("");
  $("task").hidden = false;
  $("question").textContent = task.question || "(no question)";
  $("facts").replaceChildren(...facts(task));
  for (const name of ["answer", "accept", "decline"]) $(name).reset();
  form = answerForm(task.answer_shape ?? { kind: "text" });
  $("fields").replaceChildren(...form.nodes);
  drawState(task);
  drawList();
  $("question").focus();
}

function facts(task) {
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

function drawState(task) {
  $("state").textContent = task.state;
  $("state").dataset.state = task.state;
  $("due").textContent = dueText(task);
  $("due").className = task.due && task.due / 1000 < Date.now() ? "late" : "";
  const over = !waits(task);
  $("answer").hidden = over;
  $("others").hidden = over;
  const accepted = task.state === "accepted";
  $("accept").querySelector("h3").textContent = accepted ? "Ask for more time" : "Take it on";
  $("accept").querySelector("button").textContent = accepted ? "Extend" : "Accept";
  $("outcome").hidden = !over && task.state !== "accepted";
  $("outcome").textContent = OUTCOMES[task.state] ?? "";
}

const OUTCOMES = {
  accepted: "Taken on; the time for it can be extended twice in all.",
  submitted: "Submitted. Thank you.",
  declined: "Declined.",
  expired: "Nobody answered in time; this is over.",
  withdrawn: "The query has ended, so this is no longer asked.",
};

// ── a person's word ───────────────────────────────────────────────────────────────────────────

function clearFaults() {
  say("");
  for (const marked of document.querySelectorAll("[aria-invalid]")) {
    marked.removeAttribute("aria-invalid");
    marked.removeAttribute("aria-describedby");
  }
  for (const shown of document.querySelectorAll(".fault")) shown.remove();
}

function mark(control, text) {
  const note = element("p", { class: "fault", id: `${control.id || "field"}-fault` }, text);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", note.id);
  (control.closest("fieldset") ?? control.parentElement).append(note);
}

function explain(error) {
  const unplaced = [];
  for (const { path, problem } of error.errors ?? []) {
    const control = form?.control(path);
    if (control) mark(control, problem);
    else unplaced.push(`${path}: ${problem}`);
  }
  say([error.message, ...unplaced].join("\n"));
  document.querySelector("[aria-invalid]")?.focus();
}

async function act(name, body) {
  const key = chosen;
  const task = tasks.get(key);
  const buttons = [...document.querySelectorAll("#task button")];
  for (const button of buttons) button.disabled = true;
  try {
    const word = { did: task.did ?? $("did").value.trim(), ...body };
    take(await post(`/api/inbox/${encodeURIComponent(task.id)}/${name}`, word));
  } catch (error) {
    explain(error);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

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
    if (!(error instanceof FieldProblem)) throw error;
    mark(error.field, error.message);
    error.field.focus();
  }
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

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  const did = $("did").value.trim();
  history.replaceState(null, "", did ? `?did=${encodeURIComponent(did)}` : location.pathname);
  chosen = null;
  $("task").hidden = true;
  say("");
  follow(did);
});

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("covend-key", $("secret").value.trim());
  $("secret").value = "";
  $("key").hidden = true;
  follow($("did").value.trim());
});

$("did").value = new URLSearchParams(location.search).get("did") ?? "";
setInterval(drawList, 30000);  // distances in time grow
addEventListener("hashchange", () => {
  followLink();
  missed($("did").value.trim());
});
followLink();
follow($("did").value.trim());
