// What became of htmx's requests: what the server refuses is said in a toast, in the server's words, and the page stays
// as it was; what comes for a customer who is not in front of the member any more is not shown.
import { _ } from "../texts.js";
import { isLoggedOut, logInAnew, told, unreachable } from "./request.js";
import { toast } from "./toast.js";

const SILENT = { code: "", message: "" };

function pageNow() {
  const page = document.querySelector("chat-context");
  return page ? page.shown : "";
}

// An element that has left the page tells nobody but itself.
document.addEventListener("htmx:beforeSend", ({ detail }) => {
  const page = pageNow();
  const { elt } = detail;
  const isOver = () => pageNow() !== page;
  elt.addEventListener("htmx:beforeOnLoad", (event) => isOver() && event.preventDefault(), { once: true });
  elt.addEventListener("htmx:afterRequest", (event) => isOver() && tellLate(event.detail), { once: true });
});

function tellLate({ xhr, requestConfig }) {
  if (requestConfig.verb === "get" || (xhr.status >= 200 && xhr.status < 400)) return;
  const { message } = xhr.status ? told(xhr.responseText) : SILENT;
  toast(_("刚才对上一位客户的操作没有成功：{reason}", { reason: message || unreachable() }));
}

// What is only read anew behind a message would put its own failure in the place of "sent".
function isBehindAMessage({ requestConfig }) {
  const { triggeringEvent } = requestConfig;
  return Boolean(triggeringEvent) && triggeringEvent.type === "chat:sent";
}

document.addEventListener("htmx:responseError", ({ detail }) => {
  const { status, responseText } = detail.xhr;
  const { code, message } = told(responseText);
  if (isLoggedOut(status, code) && logInAnew()) return;
  if (!isBehindAMessage(detail)) toast(message);
});

["htmx:sendError", "htmx:timeout"].forEach((name) => {
  document.addEventListener(name, ({ detail }) => {
    if (isBehindAMessage(detail)) return;
    const isRead = detail.requestConfig.verb === "get";
    toast(isRead ? unreachable() : _("没有保存成功。{reason}", { reason: unreachable() }));
  });
});
