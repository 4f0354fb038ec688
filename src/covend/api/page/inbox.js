// The inbox: a list of tasks kept live by server-sent events, and one task to read and answer.

import { FieldProblem, answerForm, element, readable } from "./form.js";

const $ = (id) => document.getElementById(id);
const tasks = new Map();
let chosen = null;     // the id of the task that is shown
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

async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(body),
    });
  } catch {
    throw new BoxError(0, "the box cannot be reached; nothing was sent");
  }
  if (!response.ok) throw await fault(response);
  return response.json();
}

// ── the stream ────────────────────────────────────────────────────────────────────────────────

// EventSource cannot send an API key, so the stream is read by hand.
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
      const data = block.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(6)).join("\n"));
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
    try {
      for await (const task of events(path, mine.signal)) {
        failures = 0;
        take(task);
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

function take(task) {
  const before = tasks.get(task.id);
  tasks.set(task.id, task);
  drawList();
  if (task.id === chosen && before?.state !== task.state) drawState(task);
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
  const focused = document.activeElement?.dataset?.task;
  $("tasks").replaceChildren(...waiting.map(row));
  $("empty").hidden = waiting.length > 0;
  document.title = waiting.length > 0 ? `(${waiting.length}) Inbox · covend` : "Inbox · covend";
  const people = [...new Set(waiting.map((task) => task.did).filter(Boolean))].sort();
  $("people").replaceChildren(...people.map((did) => element("option", { value: did })));
  if (focused) document.querySelector(`[data-task="${CSS.escape(focused)}"]`)?.focus();
}

function row(task) {
  const button = element("button",
    { type: "button", "data-task": task.id, "aria-current": String(task.id === chosen) },
    element("span", { class: "ask" }, task.question || "(no question)"),
    element("span", { class: "about" },
      [task.did, task.state === "accepted" ? "accepted" : "", dueText(task)]
        .filter(Boolean).join(" · ")));
  button.addEventListener("click", () => open(task.id));
  return element("li", {}, button);
}

function open(id) {
  const task = tasks.get(id);
  chosen = id;
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
  $("accept").hidden = task.state === "accepted";
  $("outcome").hidden = !over && task.state !== "accepted";
  $("outcome").textContent = OUTCOMES[task.state] ?? "";
}

const OUTCOMES = {
  accepted: "You have taken this on.",
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
  const id = chosen;
  const buttons = [...document.querySelectorAll("#task button")];
  for (const button of buttons) button.disabled = true;
  try {
    const word = { did: $("did").value.trim() || tasks.get(id).did, ...body };
    take(await post(`/api/inbox/${encodeURIComponent(id)}/${name}`, word));
    if (id === chosen) drawState(tasks.get(id));
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
follow($("did").value.trim());
