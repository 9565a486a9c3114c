// Requests of our own, with the proof that they come from our page.
import htmx from "htmx.org";

// Why something did not work: `message` for people, `detail` for the ledger, `status` of the answer if there was one.
export class Refusal extends Error {
  constructor(message, detail = message, status = 0) {
    super(message);
    this.detail = detail;
    this.status = status;
  }
}

export async function request(method, path, body, accept = "application/json") {
  const headers = { Accept: accept, "X-CSRF": document.body.dataset.csrf };
  if (accept === "text/html") headers["HX-Request"] = "true";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (problem) {
    throw new Refusal(navigator.onLine ? "连不上服务器，请稍后重试。" : "网络已断开，请检查网络后重试。", String(problem));
  }
  if (response.status === 401) location.reload();
  const text = await response.text();
  if (!response.ok) throw new Refusal(reason(text, accept), reason(text, accept), response.status);
  return accept === "text/html" ? text : JSON.parse(text || "{}");
}

// The sentence in an error's answer, be it JSON or a piece of a page.
export function reason(text, accept = "text/html") {
  if (accept !== "text/html") {
    try {
      return JSON.parse(text).error.message;
    } catch (ignored) {
      return "服务器没有正常回答，请稍后重试。";
    }
  }
  const words = new DOMParser().parseFromString(text, "text/html").querySelector(".notice-text");
  return words ? words.textContent.trim() : "服务器没有正常回答，请稍后重试。";
}

// Puts a piece of a page in its place; custom elements and htmx attributes in it come alive.
export function place(target, html, how = "outerHTML") {
  htmx.swap(target, html, { swapStyle: how, swapDelay: 0, settleDelay: 0 });
}
