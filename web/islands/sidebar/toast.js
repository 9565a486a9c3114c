// A few words that go away by themselves; with { word, act } also a button, say to undo.
let box;
let timer;

export function toast(text, action) {
  box = box || document.querySelector(".toast");
  // An open dialog stands above everything that is not in it.
  (document.querySelector("dialog[open]") || document.body).append(box);
  box.replaceChildren(text, ...(action ? [button(action)] : []));
  box.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(hide, (action ? 6000 : 2000) + 60 * text.length);
}

function hide() {
  box.hidden = true;
}

function button({ word, act }) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = word;
  made.addEventListener("click", () => {
    hide();
    act().catch((problem) => toast(problem.message));
  });
  return made;
}
