// Half-written words survive: the client throws web views away as it likes, a login comes between, the network goes.
import { keep, kept } from "./kept.js";

const FIELDS = 'textarea, input[type="text"], input:not([type])';

function page() {
  const head = document.querySelector("[data-contact]");
  return head ? head.dataset.contact : location.pathname;
}

// The same field in the page that comes next; "" for what is looked for, not written.
function nameOf(field) {
  const place = field.closest("[task], form[hx-post], form[hx-put], form[hx-patch]");
  if (!place || field.type === "search") return "";
  const named = ["task", "hx-post", "hx-put", "hx-patch"].find((name) => place.hasAttribute(name));
  return `${place.getAttribute(named)} ${field.id || field.name}`;
}

const drafts = () => kept(page(), "drafts") || {};

function change(name, words) {
  const all = { ...drafts() };
  if (words === undefined) delete all[name];
  else all[name] = words;
  keep(page(), "drafts", Object.keys(all).length ? all : undefined);
}

export function forgetDraft(field) {
  change(nameOf(field), undefined);
}

document.addEventListener("input", ({ target }) => {
  if (!target.matches(FIELDS) || target.readOnly || !nameOf(target)) return;
  change(nameOf(target), target.value === target.defaultValue ? undefined : target.value);
});

// Taken by the server: nothing of it is half-written any more.
document.addEventListener("htmx:beforeOnLoad", ({ detail: { elt, xhr } }) => {
  if (elt.matches("form") && xhr.status >= 200 && xhr.status < 300) elt.querySelectorAll(FIELDS).forEach(forgetDraft);
});

document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  if (elt.querySelectorAll) elt.querySelectorAll(FIELDS).forEach(restore);
});

function restore(field) {
  const words = drafts()[nameOf(field)];
  if (words === undefined || field.value !== field.defaultValue || field.value === words) return;
  const folded = field.closest("details");
  if (folded) folded.open = true;
  field.value = words;
  field.dispatchEvent(new CustomEvent("draft:restored", { bubbles: true }));
}
