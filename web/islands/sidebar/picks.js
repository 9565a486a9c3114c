// Of buttons that narrow a list one is pressed: <div role="group"><button data-picks aria-pressed>.
document.addEventListener("click", (event) => {
  const picked = event.target.closest("[data-picks]");
  if (!picked) return;
  picked.parentElement.querySelectorAll("[data-picks]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button === picked));
  });
});
