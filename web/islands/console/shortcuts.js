// A key that is not typed into something goes to the field that names it in data-shortcut.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const field = [...document.querySelectorAll("[data-shortcut]")].find((each) => each.dataset.shortcut === event.key);
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});
