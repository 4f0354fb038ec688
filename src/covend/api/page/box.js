// What the page asks of the box, and the stream by which the box tells of tasks.

export class BoxError extends Error {
  constructor(status, text, errors = []) {
    super(text);
    this.status = status;
    this.errors = errors;
  }

  /** Whether it is not known what became of the request: the network, a gate or the core was away. */
  get doubtful() {
    return this.status === 0 || this.status >= 500;
  }
}

function headers(more = {}) {
  const key = sessionStorage.getItem("covend-key");
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

export function useKey(key) {
  sessionStorage.setItem("covend-key", key);
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

const UNKNOWN = "No answer came, so it is not known whether this arrived. Once the connection is back "
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

/** A person's word on a task: `act` is accept, decline or submit. Returns the task after it. */
export function speak(id, act, body) {
  const sent = { method: "POST", headers: headers({ "Content-Type": "application/json" }) };
  return ask(`/api/inbox/${encodeURIComponent(id)}/${act}`, { ...sent, body: JSON.stringify(body) }, UNKNOWN);
}

function ofPerson(did) {
  return did ? `?did=${encodeURIComponent(did)}` : "";
}

/** A task as the box has it now; of those who share it, this person's where one is named. */
export function look(id, did) {
  const path = `/api/inbox/${encodeURIComponent(id)}${ofPerson(did)}`;
  return ask(path, { headers: headers() }, "the box cannot be reached");
}

/** A task as it is now; what the box has no more is withdrawn. Throws whatever else the box says. */
export async function asItIs(task) {
  try {
    return await look(task.id, task.did);
  } catch (error) {
    if (error.status !== 404) throw error;
    return { ...task, state: "withdrawn" };
  }
}

/**
 * The stream of a person's tasks, or of everybody's: pairs of a name and its data. `connected` is
 * called once it runs. EventSource cannot send an API key, so it is read by hand.
 */
export async function* events(did, signal, connected) {
  const response = await fetch(`/api/inbox/events${ofPerson(did)}`, { headers: headers(), signal });
  if (!response.ok) throw await fault(response);
  connected();
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
