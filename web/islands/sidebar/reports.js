// What the client did must reach the server, though the network, the session or the page be gone in between: a report
// is written down before it is made, and crossed out when the server has taken or refused it.
import { request } from "./request.js";
import { store, stored } from "./stored.js";

const KEY = "unreported";
const MOST = 200;

const waiting = () => stored(KEY, []);
const write = (reports) => store(KEY, reports.slice(-MOST));

const number = () => `${Date.now()}.${Math.random()}`;

// What is said later of the same sending replaces what was said before.
function note(path, outcome) {
  const entry = { id: number(), path, outcome };
  const isSame = (other) => other.path === path && other.outcome.once === outcome.once;
  write([...waiting().filter((other) => !isSame(other)), entry]);
  return entry;
}

function crossOut({ id }) {
  write(waiting().filter((other) => other.id !== id));
}

// A server that was not reached, stumbled or did not know us has not heard it.
const isUnheard = ({ status }) => !status || status === 401 || status >= 500;

// The server's answer, or "" when it has not heard the report, which is then made later.
export async function report(path, outcome, accept = "text/html") {
  const answer = await deliver(note(path, outcome), accept);
  // What the customer has been told is not what it was.
  if (outcome.ok) document.dispatchEvent(new CustomEvent("chat:sent"));
  return answer;
}

// It went out, as this device knows and the server does not yet.
export const isUnreported = (path) => waiting().some((entry) => entry.path === path && entry.outcome.ok);

const underway = new Set();

async function deliver(entry, accept) {
  underway.add(entry.id);
  try {
    const answer = await request("POST", entry.path, entry.outcome, accept);
    crossOut(entry);
    return answer;
  } catch (problem) {
    if (isUnheard(problem)) return "";
    crossOut(entry);
    throw problem;
  } finally {
    underway.delete(entry.id);
  }
}

// The page that waited for it may still be there.
async function deliverLate(entry) {
  await deliver(entry, "application/json");
  if (!waiting().some(({ id }) => id === entry.id)) document.dispatchEvent(new CustomEvent("report:made", { detail: entry.path }));
}

let isMakingUp = false;

export async function makeUp() {
  if (isMakingUp) return;
  isMakingUp = true;
  try {
    for (const entry of waiting().filter(({ id }) => !underway.has(id))) await deliverLate(entry).catch(() => {});
  } finally {
    isMakingUp = false;
  }
}

makeUp();
window.addEventListener("online", makeUp);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && makeUp());
