// The texts of the islands in the reader's language; the Chinese text is its own key.
export function _(text, values = {}) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
