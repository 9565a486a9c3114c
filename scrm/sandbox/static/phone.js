// The customer's phone: scanning, chatting, opening links.
import { act, base, follow, refresh, scrollsToEnd, sendOnEnter, toast } from "./api.js";

const { user, with: userid, externalUserid } = document.body.dataset;
const screen = document.querySelector("[data-screen]");
const browser = document.querySelector("[data-browser]");
const frame = document.querySelector("[data-browser-frame]");
const sheet = (name) => document.querySelector(`[data-sheet="${name}"]`);
const page = (values) => `${base}/phone?${new URLSearchParams({ user, ...values })}`;

follow(`/phone/screen?${new URLSearchParams({ user, with: userid })}`, (html) => {
  const settle = scrollsToEnd(screen);
  screen.innerHTML = html;
  if ("scrolls" in screen.dataset) settle();
});
if ("scrolls" in screen.dataset) screen.scrollTop = screen.scrollHeight;

const acts = {
  open: (button) => { sheet(button.dataset.open).hidden = false; },
  close: (button) => { button.closest("[data-sheet]").hidden = true; },
  scanCard: (button) => { sheet("scan").hidden = true; sheet(`card-${button.dataset.scanCard}`).hidden = false; },
  scan: async (button) => {
    button.disabled = true;
    try {
      const found = await act("scan", { user, config_id: button.dataset.scan });
      location.href = page({ with: found.userid });
    } finally {
      button.disabled = false;
    }
  },
  deleteMember: async (button) => {
    await act("delete_member", { user, userid: button.dataset.deleteMember });
    location.href = page({});
  },
  closeBrowser: () => { browser.hidden = true; frame.src = "about:blank"; },
  openUrl: (link, event) => {
    event.preventDefault();
    document.querySelector("[data-browser-title]").textContent = link.dataset.openTitle || link.textContent.trim();
    frame.src = link.dataset.openUrl;
    browser.hidden = false;
  },
};

document.querySelector(".phone").addEventListener("click", (event) => {
  for (const name of Object.keys(acts)) {
    const attribute = `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    const hit = event.target.closest(`[${attribute}]`);
    if (hit) return acts[name](hit, event);
  }
  if (event.target.matches(".actions")) event.target.hidden = true;
});

const say = document.querySelector("[data-say]");
if (say) {
  sendOnEnter(say);
  say.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = say.elements.text.value;
    if (!text.trim()) return;
    await act("say", { userid, external_userid: externalUserid, from: "customer", text });
    say.reset();
    screen.scrollTop = screen.scrollHeight;
    refresh();
  });
}

const newUser = document.querySelector("[data-new-user]");
newUser.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { key } = await act("wechat_user", { name: newUser.elements.name.value });
  toast("已添加");
  location.href = `${base}/phone?${new URLSearchParams({ user: key })}`;
});
