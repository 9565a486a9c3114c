// The library: a script's row is dragged onto a folder, a folder onto another one or onto 全部; menus do the same by key.
const folders = document.querySelector("[data-folders]");
const TYPE = "application/x-scrm";

function send(action, fields) {
  const { "X-CSRF": csrf } = JSON.parse(document.body.getAttribute("hx-headers"));
  const form = Object.assign(document.createElement("form"), { method: "post", action });
  for (const [name, value] of Object.entries({ csrf, ...fields })) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  document.body.append(form);
  form.submit();
}

function carried(target) {
  const row = target.closest("[data-script]");
  if (row) return { script: row.dataset.script };
  const folder = target.closest("[data-title]");
  return folder ? { folder: folder.dataset.folder, title: folder.dataset.title } : null;
}

let held = null;

// A folder goes to the first level or into a folder of it; a script goes anywhere.
function takes(place) {
  if (!held || !place) return false;
  if (held.script) return true;
  return place.dataset.folder !== held.folder && (place.dataset.folder === "" || "top" in place.dataset);
}

if (folders) {
  for (const row of document.querySelectorAll("[data-script]")) row.draggable = true;
  const place = (event) => event.target.closest?.("[data-folder]");
  const mark = (over) => {
    for (const each of folders.querySelectorAll("[data-over]")) each.removeAttribute("data-over");
    over?.setAttribute("data-over", "");
  };
  document.addEventListener("dragstart", (event) => {
    held = event.target.closest ? carried(event.target) : null;
    if (held) event.dataTransfer.setData(TYPE, JSON.stringify(held));
  });
  document.addEventListener("dragend", () => {
    held = null;
    mark();
  });
  folders.addEventListener("dragover", (event) => {
    const over = place(event);
    mark(takes(over) ? over : null);
    if (takes(over)) event.preventDefault();
  });
  folders.addEventListener("dragleave", () => mark());
  folders.addEventListener("drop", (event) => {
    const over = place(event);
    if (!takes(over)) return;
    event.preventDefault();
    const to = over.dataset.folder;
    if (held.script) send(`/console/library/${held.script}/folder`, { to, folder: folders.dataset.folders });
    else send(`/console/library/folders/${held.folder}`, { title: held.title, parent: to });
  });
}

// Only one menu at a time; Escape closes it and gives the focus back.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.(".move-to") || !event.target.open) return;
  for (const other of document.querySelectorAll(".move-to[open]")) if (other !== event.target) other.open = false;
}, true);
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.(".move-to[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
