// h("button", { class: "button", onclick: act }, "文字"): an element with its attributes, handlers and children.
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") made[name] = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

// Choices as [value, title]; what is chosen and not among them is shown as it stands.
export function select(label, choices, chosen, change) {
  const known = choices.some(([value]) => value === chosen) ? choices : [...choices, [chosen, String(chosen)]];
  const options = known.map(([value, title], number) => h("option", { value: String(number), selected: value === chosen }, title));
  return h("select", { "aria-label": label, onchange: (event) => change(known[Number(event.target.value)][0]) }, options);
}
