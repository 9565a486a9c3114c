// How many a condition finds stands where the form says.
document.addEventListener("condition-checked", (event) => {
  const form = event.target.closest("[data-counts]");
  const { html, problems } = event.detail;
  const found = form && document.querySelector(form.dataset.counts);
  if (!found) return;
  if (html) found.innerHTML = html;
  else if (problems.length) found.textContent = "条件改好后，这里会算出人数。";
});
