// Half-screen dialogs: <button data-opens="id">, <dialog id class="sheet">, a close button or a tap beside it.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) return open(document.getElementById(opener.dataset.opens));
  const sheet = event.target.closest("dialog.sheet");
  if (sheet && (event.target === sheet || event.target.closest('[data-act="close"]'))) close(sheet);
  return undefined;
});

// Safari before 15.4 has no dialogs; there it is a box at the foot of the page.
export function open(sheet) {
  if (sheet.showModal) sheet.showModal();
  else sheet.setAttribute("open", "");
}

export function close(sheet) {
  if (sheet.close) sheet.close();
  else sheet.removeAttribute("open");
}

document.addEventListener("htmx:afterRequest", (event) => {
  const sheet = event.target.closest && event.target.closest("dialog.sheet");
  if (sheet) close(sheet);
});
