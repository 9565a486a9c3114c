// Requests of our own, with the proof that they come from our page.
import htmx from "htmx.org";
import { _ } from "../texts.js";

const PATIENCE_MS = 15000;
const LOGIN_PAUSE_MS = 30000;

// Why something did not work: `message` for people, `detail` for the ledger, `status` of the answer if there was one,
// `kind` of trouble for the page that tells of it.
export class Refusal extends Error {
  constructor(message, detail = message, status = 0, kind = "unknown") {
    super(message);
    this.detail = detail;
    this.status = status;
    this.kind = kind;
  }
}

export async function request(method, path, body, accept = "application/json", signal = undefined) {
  const headers = { Accept: accept, "X-CSRF": document.body.dataset.csrf };
  if (accept === "text/html") headers["HX-Request"] = "true";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const content = body === undefined ? undefined : JSON.stringify(body);
  const { response, text } = await fetched(path, { method, headers, body: content }, signal);
  if (!response.ok) throw refusal(response.status, text, accept);
  return accept === "text/html" ? text : JSON.parse(text || "{}");
}

// A whole answer, or why there was none; whoever gives up by `signal` gets kind "given-up".
async function fetched(path, options, signal) {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), PATIENCE_MS);
  if (signal) signal.addEventListener("abort", () => ending.abort());
  try {
    const response = await fetch(path, { ...options, signal: ending.signal });
    return { response, text: await response.text() };
  } catch (problem) {
    if (signal && signal.aborted) throw new Refusal("", "given up", 0, "given-up");
    if (ending.signal.aborted) throw new Refusal(_("网络太慢，服务器没有及时回答，请重试。"), "slow", 0, "slow");
    throw new Refusal(unreachable(), String(problem), 0, navigator.onLine ? "server" : "offline");
  } finally {
    clearTimeout(timer);
  }
}

export function unreachable() {
  return navigator.onLine ? _("连不上服务器，请稍后重试。") : _("网络已断开，请检查网络后重试。");
}

function refusal(status, text, accept) {
  const { code, message } = told(text, accept);
  if (isLoggedOut(status, code) && logInAnew()) {
    return new Refusal(_("登录已过期，正在重新登录…"), message, 401, "leaving");
  }
  return new Refusal(message, message, status, kindOf(status, code));
}

function kindOf(status, code) {
  if (isLoggedOut(status, code)) return "login";
  if (status >= 500) return "server";
  return { 403: "stranger", 404: "lost" }[status] || "unknown";
}

// A page whose session was replaced by a later login proves nothing any more; it has to be loaded anew as well.
export function isLoggedOut(status, code) {
  return status === 401 || code === "stale_page";
}

// Loads the page again, which leads through the login and back to this very place. False when that was just tried:
// a client that keeps no cookies would go round for ever.
export function logInAnew() {
  const last = Number(sessionStorage.getItem("login-at") || 0);
  if (Date.now() - last < LOGIN_PAUSE_MS) return false;
  sessionStorage.setItem("login-at", String(Date.now()));
  location.reload();
  return true;
}

// The sentence in an error's answer, be it JSON or a piece of a page.
export function reason(text, accept = "text/html") {
  return told(text, accept).message;
}

export function told(text, accept = "text/html") {
  const silent = { code: "", message: _("服务器没有正常回答，请稍后重试。") };
  if (accept !== "text/html") {
    try {
      return JSON.parse(text).error;
    } catch (ignored) {
      return silent;
    }
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  const [notice, words] = [page.querySelector("[data-code]"), page.querySelector(".notice-text")];
  return words ? { code: notice ? notice.dataset.code : "", message: words.textContent.trim() } : silent;
}

// Puts a piece of a page in its place; custom elements and htmx attributes in it come alive.
export function place(target, html, how = "outerHTML") {
  htmx.swap(target, html, { swapStyle: how, swapDelay: 0, settleDelay: 0 });
}
