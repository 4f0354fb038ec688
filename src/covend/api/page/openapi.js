// The operations of the box's OpenAPI document, for people.

import { element, readable } from "/inbox/dom.js";

function operation(method, path, about) {
  const takes = about.parameters.map((one) => `${one.name} (${one.in})`).join(", ");
  const body = about.requestBody?.content["application/json"].schema.$ref?.split("/").pop();
  const answers = Object.entries(about.responses).map(([status, answer]) =>
    element("li", {}, `${status}: ${answer.description}`));
  return element("details", {},
    element("summary", {}, element("code", {}, `${method.toUpperCase()} ${path}`), ` ${about.summary}`),
    takes ? element("p", {}, `Takes ${takes}`) : null,
    body ? element("p", {}, `Body: ${body}`) : null,
    element("ul", {}, ...answers));
}

async function show() {
  const response = await fetch("/openapi/openapi.json");
  if (!response.ok) throw new Error(`the box answered ${response.status}`);
  const { paths, components } = await response.json();
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => operation(method, path, about)));
  const types = Object.entries(components.schemas).sort().map(([name, schema]) =>
    element("details", {}, element("summary", {}, name), element("pre", {}, readable(schema))));
  document.getElementById("operations").replaceChildren(
    element("h2", {}, "Operations"), ...operations, element("h2", {}, "Types"), ...types);
}

show().catch((error) => {
  document.getElementById("error").textContent = error.message;
  document.getElementById("error").hidden = false;
});
