// A list to search and choose from, in a dialog below what opened it; on a phone it is a sheet. Keys: up, down, Enter.
import { h } from "./elements.js";

const WAIT = 200;
let count = 0;

// `load(q)` gives [{title, items: [{value, title, note}]}]; `pick(item)` is told the choice. With `chosen` (a set of
// values) several are chosen, one after the other; with `may_type` also what the list does not have.
export function open_picker(opener, { label, load, pick, chosen = null, may_type = false, has_search = true }) {
  const id = `picker-${(count += 1)}`;
  const list = h("div", { class: "picker-list", role: "listbox", id, "aria-label": label, "aria-multiselectable": chosen ? "true" : null });
  const input = h("input", {
    type: "text", class: "picker-search", role: "combobox", "aria-label": label, "aria-controls": id, "aria-expanded": "true",
    "aria-autocomplete": "list", autocomplete: "off", placeholder: has_search ? `搜索${label}` : label, readonly: !has_search,
  });
  const close = h("button", { class: "button plain", type: "button", onclick: () => dialog.close() }, chosen ? "完成" : "取消");
  const dialog = h("dialog", { class: "picker", "aria-label": label }, h("div", { class: "picker-head" }, input, close), list);
  let items = [];
  let at = 0;
  let asked = 0;

  const mark = () => {
    list.querySelectorAll("[role=option]").forEach((option, number) => option.toggleAttribute("data-at", number === at));
    const option = list.querySelector("[data-at]");
    input.setAttribute("aria-activedescendant", option ? option.id : "");
    if (option) option.scrollIntoView({ block: "nearest" });
  };
  const choose = (item) => {
    if (!item) return;
    pick(item);
    if (!chosen) { dialog.close(); return; }
    chosen.has(item.value) ? chosen.delete(item.value) : chosen.add(item.value);
    list.querySelectorAll("[role=option]").forEach((option, number) => option.setAttribute("aria-selected", String(chosen.has(items[number].value))));
  };
  const option_of = (item) => {
    const number = items.push(item) - 1;
    const is_chosen = chosen ? chosen.has(item.value) : false;
    return h("div", { role: "option", id: `${id}-${number}`, "aria-selected": String(is_chosen), onclick: () => choose(item) },
      h("span", {}, item.title), item.note ? h("small", {}, item.note) : null);
  };
  const show = async () => {
    const mine = (asked += 1);
    const q = input.value.trim();
    let groups;
    try {
      groups = await load(q);
    } catch {
      groups = null;
    }
    if (mine !== asked) return;
    items = [];
    at = 0;
    const shown = (groups || []).filter((group) => group.items.length).map((group, number) => {
      const head = `${id}-group-${number}`;
      const options = group.items.map(option_of);
      return group.title ? h("div", { role: "group", "aria-labelledby": head }, h("div", { class: "picker-group", id: head }, group.title), options) : options;
    });
    const is_typed = may_type && q && !items.some((item) => item.value === q);
    if (is_typed) shown.push(option_of({ value: q, title: `用“${q}”` }));
    list.replaceChildren(...shown.flat());
    if (!items.length) list.append(h("p", { class: "hint" }, groups ? nothing(q, may_type) : "没有读到，请检查网络后再试"));
    mark();
  };

  let timer;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(show, WAIT); });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) {
      event.preventDefault();
      if (items.length) { at = (at + by + items.length) % items.length; mark(); }
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      clearTimeout(timer);
      items.length && list.querySelector("[data-at]") ? choose(items[at]) : show();
    }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  for (const name of ["change", "input", "keydown"]) dialog.addEventListener(name, (event) => event.stopPropagation());
  dialog.addEventListener("close", () => { dialog.remove(); if (opener.isConnected) opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
  place(dialog, opener);
  input.focus();
  show();
}

const nothing = (q, may_type) => (q ? `没有“${q}”` : may_type ? "还没有可选的，直接输入即可" : "还没有可选的");

// Below what opened it, or above where there is more room; a phone's sheet is placed by its style.
function place(dialog, opener) {
  if (matchMedia("(max-width: 760px)").matches) return;
  const box = opener.getBoundingClientRect();
  const height = Math.min(420, Math.max(innerHeight - box.bottom, box.top) - 16);
  const is_below = innerHeight - box.bottom - 16 >= height;
  dialog.style.left = `${Math.max(8, Math.min(box.left, innerWidth - dialog.offsetWidth - 8))}px`;
  dialog.style.maxHeight = `${height}px`;
  if (is_below) dialog.style.top = `${box.bottom + 4}px`;
  else dialog.style.bottom = `${innerHeight - box.top + 4}px`;
}

// A few acts, each [title, act, is_off]; a key beside it says the same.
export function open_menu(opener, label, acts) {
  const buttons = acts.map(([title, act, { key = "", is_off = false } = {}]) =>
    h("button", { type: "button", role: "menuitem", disabled: is_off, onclick: () => { dialog.close(); act(); } }, h("span", {}, title), key ? h("kbd", {}, key) : null));
  const dialog = h("dialog", { class: "picker menu-of", "aria-label": label }, h("div", { role: "menu", "aria-label": label }, buttons));
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const usable = buttons.filter((button) => !button.disabled);
    usable[(usable.indexOf(document.activeElement) + by + usable.length) % usable.length].focus();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { dialog.remove(); if (opener.isConnected && document.activeElement === document.body) opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
  place(dialog, opener);
}
