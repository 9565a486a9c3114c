// What must outlive the page: the client throws web views away as it likes. A little for each contact, for a few hours.
import { store, stored } from "./stored.js";

const KEY = "kept";
const LIVES = 12 * 60 * 60 * 1000;
const MOST = 60;

const read = () => stored(KEY, {});

export function kept(contact, name) {
  const mine = read()[contact];
  return mine && Date.now() - mine.at < LIVES ? mine[name] : undefined;
}

// Without a value it is forgotten.
export function keep(contact, name, value) {
  const all = read();
  const mine = { ...all[contact], at: Date.now() };
  if (value === undefined) delete mine[name];
  else mine[name] = value;
  const others = Object.entries(all).filter(([other, entry]) => other !== contact && Date.now() - entry.at < LIVES);
  others.sort((one, other) => other[1].at - one[1].at);
  store(KEY, Object.fromEntries([[contact, mine], ...others.slice(0, MOST - 1)]));
}
