// A <select data-searched="员工"> with many options is searched through in a dialog; the form still sends the select.
import { h } from "./conditions/elements.js";
import { open_picker } from "./conditions/picker.js";

const FEW = 12;

function groups_of(select, q) {
  const titled = (group) => (group.tagName === "OPTGROUP" ? group.label : "");
  const items = (options) => options.filter((option) => option.label.includes(q)).map((option) => ({ value: option.value, title: option.label }));
  return [...select.children].map((child) => ({ title: titled(child), items: items(child.tagName === "OPTGROUP" ? [...child.children] : [child]) }));
}

for (const select of document.querySelectorAll("select[data-searched]")) {
  if (select.options.length <= FEW) continue;
  const label = select.dataset.searched;
  const chosen = h("span", {});
  const tell = () => { chosen.textContent = select.selectedOptions[0]?.label || ""; };
  const button = h("button", {
    class: "button picked", type: "button", "aria-haspopup": "dialog", "aria-label": label,
    onclick: () => open_picker(button, {
      label,
      load: async (q) => groups_of(select, q),
      pick: (item) => { select.value = item.value; tell(); select.dispatchEvent(new Event("change", { bubbles: true })); },
    }),
  }, chosen);
  button.setAttribute("aria-description", "打开列表，可以搜索");
  tell();
  select.hidden = true;
  select.after(button);
}
