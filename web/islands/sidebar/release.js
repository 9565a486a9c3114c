// Asks the server for the messages of one sending. When its answer never came nothing of it can have gone out: then the
// next tap goes on with that very sending, instead of leaving behind one that may have been sent.
import { request } from "./request.js";

const unheard = new Map();

// `key` is what would be sent, when the path alone does not say it.
export async function release(path, once, more = {}, key = path) {
  const lost = unheard.get(key);
  const mine = lost || once;
  unheard.set(key, mine);
  try {
    const answer = await request("POST", `${path}/release`, { ...more, once: mine, again: Boolean(lost) });
    unheard.delete(key);
    return { once: mine, ...answer };
  } catch (problem) {
    // Refused in words: it is not under way.
    if (problem.status && problem.status < 500) unheard.delete(key);
    throw problem;
  }
}

export function newOnce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
