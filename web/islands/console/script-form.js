// A script's form: variables go where the caret is, an attachment shows only what its kind needs.
const form = document.querySelector("[data-script-form]");

function fit(slot) {
  const { value } = slot.querySelector("[data-kind]");
  for (const part of slot.querySelectorAll("[data-kinds]")) part.hidden = !part.dataset.kinds.split(" ").includes(value);
}

if (form) {
  const slots = [...form.querySelectorAll("[data-slot]")];
  const add = form.querySelector("[data-add-slot]");
  const settle = () => {
    if (add) add.hidden = slots.every((slot) => !slot.hidden);
  };
  slots.forEach((slot) => {
    slot.hidden = slot.hasAttribute("data-blank");
    fit(slot);
    slot.querySelector("[data-kind]").addEventListener("change", () => fit(slot));
  });
  settle();
  add?.addEventListener("click", () => {
    const next = slots.find((slot) => slot.hidden);
    next.hidden = false;
    next.querySelector("[data-kind]").value = "image";
    fit(next);
    next.querySelector("[data-kind]").focus();
    settle();
  });
  form.addEventListener("click", (event) => {
    const more = event.target.closest("[data-more-variables]");
    if (more) {
      more.parentElement.toggleAttribute("data-all");
      more.setAttribute("aria-expanded", String(more.parentElement.hasAttribute("data-all")));
    }
    const button = event.target.closest("[data-insert]");
    if (!button) return;
    const area = form.elements.text;
    area.setRangeText(button.dataset.insert, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  });
}
