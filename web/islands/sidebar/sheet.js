// Half-screen dialogs: <button data-opens="id">, <dialog id class="sheet">, a close button or a tap beside it.
// One with data-stays is filled by what opened it (hx-get), and stays until the server says sheet:done.
import { _ } from "../texts.js";

let openedBy = "";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    openedBy = opener.id;
    return open(document.getElementById(opener.dataset.opens));
  }
  const sheet = event.target.closest("dialog.sheet");
  if (sheet && (event.target === sheet || event.target.closest('[data-act="close"]'))) close(sheet);
  return undefined;
});

// Safari before 15.4 has no dialogs; there it is a box at the foot of the page.
export function open(sheet) {
  if (stays(sheet)) wait(sheet);
  if (sheet.showModal) sheet.showModal();
  else sheet.setAttribute("open", "");
}

export function close(sheet) {
  if (sheet.close) sheet.close();
  else sheet.removeAttribute("open");
}

// Who opened it may have been drawn anew meanwhile: then the browser does not find the way back.
document.addEventListener("close", (event) => {
  const opener = openedBy && document.getElementById(openedBy);
  const at = document.activeElement;
  if (opener && (at === document.body || event.target.contains(at))) opener.focus();
}, true);

function stays(sheet) {
  return sheet.hasAttribute("data-stays");
}

function wait(sheet) {
  const words = document.createElement("p");
  words.className = "sheet-wait";
  words.setAttribute("role", "status");
  words.textContent = _("正在读取…");
  sheet.replaceChildren(words);
}

// What was not taken stays open, with what was written in it.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.failed || !event.detail.successful) return;
  const sheet = event.target.closest && event.target.closest("dialog.sheet");
  // One with data-holds reads parts of itself, and is closed by whoever opened it.
  if (sheet && !stays(sheet) && !sheet.hasAttribute("data-holds")) close(sheet);
});

document.addEventListener("sheet:done", () => {
  document.querySelectorAll("dialog.sheet[data-stays][open]").forEach(close);
});

// Why is said in a toast (refused-request.js); an empty sheet would only be in the way.
["htmx:responseError", "htmx:sendError", "htmx:timeout"].forEach((name) => {
  document.addEventListener(name, (event) => {
    const sheet = event.detail.target;
    if (sheet && sheet.matches && sheet.matches("dialog.sheet") && sheet.querySelector(".sheet-wait")) close(sheet);
  });
});

// <fieldset data-only-when="id"> is there as long as that radio button is chosen.
document.addEventListener("change", (event) => {
  const form = event.target.closest && event.target.closest("form");
  if (!form) return;
  form.querySelectorAll("[data-only-when]").forEach((part) => {
    part.hidden = part.disabled = !document.getElementById(part.dataset.onlyWhen).checked;
  });
});
