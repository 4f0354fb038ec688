// Elements from data: what a question says goes in as text only.

/** An element with attributes and children; strings become text nodes, never markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** How a person reads a value: text as it is, everything else as indented JSON. */
export function readable(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
