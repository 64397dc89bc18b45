// One function that makes elements; text is always text, never markup.

let counter = 0;

/** An element: attributes, properties (value, checked, ...), listeners (onclick, ...), then children. */
export function h(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A field with its label above it. */
export function field(text, control) {
  control.id ||= `field-${++counter}`;
  return h("label", { htmlFor: control.id }, h("span", {}, text), control);
}

/** A select of [value, text] pairs. */
export function choice(pairs, value, onchange) {
  const select = h("select", { onchange: () => onchange(select.value) });
  select.append(...pairs.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value;
  return select;
}
