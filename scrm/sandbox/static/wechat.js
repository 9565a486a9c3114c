// The phone's Official Account and customer service: a few acts, and the chat that follows them.
import { act, follow, refresh, scrollsToEnd, sendOnEnter } from "./api.js";

const { user, tab, account, scene } = document.body.dataset;
const screen = document.querySelector("[data-screen]");

follow(`/phone/${tab}/screen?${new URLSearchParams({ user, account })}`, (html) => {
  const settle = scrollsToEnd(screen);
  screen.innerHTML = html;
  settle();
});

document.querySelector(".wechat-acts").addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  button.disabled = true;
  try {
    await act(button.dataset.do, { user, account, scene: button.dataset.scene || scene });
    // Following changes what may be done here.
    if (tab === "oa") location.reload();
    else refresh();
  } finally {
    button.disabled = false;
  }
});

const say = document.querySelector("[data-say]");
if (say) {
  sendOnEnter(say);
  say.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = say.elements.text.value;
    if (!text.trim()) return;
    await act(tab === "oa" ? "oa_say" : "kf_say", { user, account, text });
    say.reset();
    screen.scrollTop = screen.scrollHeight;
    refresh();
  });
}
