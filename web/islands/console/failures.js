// What became of a piece of the page that did not come: said in the server's words at the page's foot, which stays as it
// was. A login that is over is offered anew, with what was written kept for afterwards.
import { keep, wayBack } from "./unsent.js";

let bar = null;

function clear() {
  if (bar) bar.remove();
  bar = null;
}

function tell(words, link) {
  clear();
  bar = document.createElement("div");
  bar.className = "failure";
  bar.setAttribute("role", "alert");
  const text = document.createElement("span");
  text.textContent = words;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "知道了";
  close.addEventListener("click", clear);
  // The field keeps the focus: leaving it may ask the server once more, and fail once more.
  close.addEventListener("mousedown", (event) => event.preventDefault());
  bar.append(text, ...(link ? [link] : []), close);
  document.body.append(bar);
}

function linkTo(address, words) {
  const link = document.createElement("a");
  link.href = address;
  link.textContent = words;
  return link;
}

document.addEventListener("htmx:responseError", ({ detail: { elt, xhr } }) => {
  const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
  const [notice, words] = [page.querySelector("[data-code]"), page.querySelector(".notice-text")];
  const code = notice ? notice.dataset.code : "";
  const isOver = code === "unauthorized" || code === "stale_page";
  const form = elt.closest("form");
  if (isOver && form) keep(form);
  const link = isOver && (code === "unauthorized"
    ? linkTo(`/login?next=${encodeURIComponent(wayBack())}`, "重新登录")
    : linkTo(wayBack(), "刷新页面"));
  tell(words ? words.textContent.trim() : "服务器没有正常回答，请稍后重试。", link);
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, ({ detail }) => {
    const isRead = detail.requestConfig.verb === "get";
    tell(isRead ? "网络不通，看到的可能不是最新的。" : "网络不通，没有保存。请检查网络后再试一次。");
  });
}
document.addEventListener("htmx:afterOnLoad", ({ detail: { xhr } }) => { if (xhr.status < 400) clear(); });
