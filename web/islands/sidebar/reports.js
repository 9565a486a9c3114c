// What the client did must reach the server, though the network may be gone for a while.
import { request } from "./request.js";

const KEY = "unreported";

function waiting() {
  try {
    return JSON.parse(localStorage.getItem(KEY) || "[]");
  } catch (ignored) {
    return [];
  }
}

function keep(reports) {
  try {
    localStorage.setItem(KEY, JSON.stringify(reports));
  } catch (ignored) {
    // Without storage the report lives as long as the page.
  }
}

// The server's answer, or "" when it could not be reached; then the report is kept and made later.
export async function report(path, outcome, accept = "text/html") {
  try {
    return await request("POST", path, outcome, accept);
  } catch (problem) {
    if (problem.status) throw problem;
    keep([...waiting(), { path, outcome }]);
    return "";
  }
}

export async function makeUp() {
  const reports = waiting();
  if (!reports.length) return;
  keep([]);
  for (const { path, outcome } of reports) {
    await report(path, outcome, "application/json").catch(() => {});
  }
}

makeUp();
window.addEventListener("online", makeUp);
