// Values by name that outlive the page. What a full or forbidden storage does not take lives as long as the page: it
// costs comfort, and never lets a message that went out look as if it had not.
const untaken = new Map();

export function stored(name, otherwise) {
  if (untaken.has(name)) return untaken.get(name) ?? otherwise;
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch (ignored) {
    return otherwise;
  }
}

// Without a value it is forgotten.
export function store(name, value) {
  try {
    if (value === undefined) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
    untaken.delete(name);
  } catch (ignored) {
    untaken.set(name, value);
  }
}
