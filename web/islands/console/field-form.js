// A field's form shows only what its type needs.
const form = document.querySelector("[data-field-form]");
if (form) {
  const type = form.elements.type;
  const show = () => {
    for (const part of form.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(type.value);
  };
  type.addEventListener("change", show);
  show();
}
