// The texts of the islands in the reader's language; the Chinese text is its own key. A script before this one brings
// `window.texts` to readers of another language: a text, or its forms for one and for many.
const texts = window.texts || {};

export function _(text, values = {}) {
  const found = texts[text] || text;
  return (Array.isArray(found) ? found[isOne(text, values) ? 0 : 1] : found).replace(/\{(\w+)\}/g, (whole, name) =>
    name in values ? String(values[name]) : whole);
}

// The first number decides, as in web/texts/catalogue.py.
function isOne(text, values) {
  const names = (text.match(/\{\w+\}/g) || []).map((name) => name.slice(1, -1));
  return names.map((name) => values[name]).find((value) => typeof value === "number") === 1;
}
