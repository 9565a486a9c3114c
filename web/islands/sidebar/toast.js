let timer;

export function toast(text) {
  const box = document.querySelector(".toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => {
    box.hidden = true;
  }, 2000 + 60 * text.length);
}
