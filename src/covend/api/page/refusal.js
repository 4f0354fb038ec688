// Why a person's word was not taken: said at its field, or beside the button that sent it.

/** Say beside a form's button why its word was not taken; "" takes that back. */
export function refuse(where, text, lost = false) {
  const said = where.querySelector(".said");
  said.textContent = text;
  said.hidden = text === "";
  said.toggleAttribute("data-lost", lost);
}

export const MARKED = "This was not sent: what is marked above is missing or not right.";

/** Why the box refused a word: what has a field of the form stands there, the rest beside the button. */
export function explain(error, where, form) {
  const unplaced = error.errors.filter(({ path, problem }) => !(where.id === "answer" && form.mark(path, problem)));
  const placed = unplaced.length < error.errors.length;
  const rest = unplaced.map(({ path, problem }) => (path.startsWith("$.value") ? problem : `${path}: ${problem}`));
  const lines = [placed ? MARKED : error.message, ...rest];
  // The box may say the same as a whole and as a fault: it is said once, where it says more.
  const once = lines.filter((one, at) => !lines.some((other, index) =>
    index !== at && other.includes(one) && (other !== one || index < at)));
  refuse(where, once.join("\n"), error.doubtful);
  focusFault(where);
}

/** To what is wrong first, or to the button. */
export function focusFault(where) {
  (where.querySelector("[aria-invalid]") ?? where.querySelector("[type=submit]")).focus();
}
