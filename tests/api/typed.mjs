// Types into forms: reads [[shape, typed], …] as JSON, writes what became of each as JSON.
// `typed` has one entry for each control, in order: text, true for what is ticked or chosen, null
// for what is left alone.

class Element {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, children: [], value: "", checked: false });
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
    if (["value", "type", "id"].includes(name)) this[name] = value;
  }
  append(...children) {
    this.children.push(...children);
  }
  all() {
    return [this, ...this.children.filter((child) => child instanceof Element).flatMap((child) => child.all())];
  }
  removeAttribute(name) {
    delete this.attributes[name];
  }
  querySelectorAll() {
    return this.all().filter((one) => one.tag === "input" || one.tag === "textarea");
  }
}

globalThis.document = { createElement: (tag) => new Element(tag) };
const [module, cases] = process.argv.slice(2);
const { answerForm } = await import(module);

function become([shape, typed]) {
  const form = answerForm(shape);
  const controls = form.nodes.flatMap((node) => node.all())
    .filter((one) => one.tag === "input" || one.tag === "textarea");
  try {
    typed.forEach((given, index) => {
      if (given === true) controls[index].checked = true;
      else if (given !== null) controls[index].value = given;
    });
    return { value: form.value() };
  } catch (error) {
    return { refused: error.message };
  }
}

console.log(JSON.stringify(JSON.parse(cases).map(become)));
