// The member's chat window with the sidebar in a frame.
import { act, base, follow, refresh, scrollsToEnd, sendOnEnter, toast } from "./api.js";

const { member, with: other } = document.body.dataset;
const address = (id) => `${base}/desk?${new URLSearchParams({ member, with: id })}`;

// The bridge inside the frames asks who is looking, and at whom.
window.sandboxContext = JSON.parse(document.body.dataset.beside);
window.sandboxOpenChat = (externalUserid) => { location.href = address(externalUserid); };
window.sandboxOpenUrl = (url, title) => openUrl(url, title);
window.sandboxRefresh = refresh;

const parts = ["list", "head", "chat"].map((name) => [name, document.querySelector(`[data-screen="${name}"]`)]);
const chat = document.querySelector('[data-screen="chat"]');

function show(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const settle = scrollsToEnd(chat);
  for (const [name, box] of parts) {
    const fresh = holder.content.querySelector(`[data-part="${name}"]`).innerHTML;
    if (box.innerHTML !== fresh) box.innerHTML = fresh;
  }
  settle();
}

show(document.querySelector("[data-first]").innerHTML);
chat.scrollTop = chat.scrollHeight;
follow(`/desk/screen?${new URLSearchParams({ member, with: other })}`, show);

const frame = document.querySelector("[data-browser-frame]");
let sidebar = document.querySelector("[data-sidebar]");
const closeButton = document.querySelector("[data-close-browser]");
const title = document.querySelector("[data-side-title]");

function openUrl(url, text) {
  frame.src = url;
  frame.hidden = false;
  if (closeButton) closeButton.hidden = false;
  const empty = document.querySelector("[data-side-empty]");
  if (empty) empty.hidden = true;
  if (text) title.textContent = text;
  setTab("side");
}

function closeBrowser() {
  frame.hidden = true;
  frame.src = "about:blank";
  if (closeButton) closeButton.hidden = true;
  const empty = document.querySelector("[data-side-empty]");
  if (empty) empty.hidden = false;
  setTab("chat");
}

function setTab(name) {
  document.body.dataset.tab = name;
  for (const tab of document.querySelectorAll("[data-tab-to]")) tab.setAttribute("aria-selected", String(tab.dataset.tabTo === name));
}

const dialog = document.querySelector('[data-dialog="edit"]');

document.addEventListener("click", async (event) => {
  const hit = (name) => event.target.closest(`[data-${name}]`);
  const link = hit("open-url");
  if (link) {
    event.preventDefault();
    openUrl(link.dataset.openUrl, link.dataset.openTitle);
  } else if (hit("close-browser")) {
    closeBrowser();
  } else if (hit("reload")) {
    // A new frame, not reload(): the old one may stand at another page by now.
    if (!frame.hidden) closeBrowser();
    const fresh = sidebar.cloneNode();
    sidebar.replaceWith(fresh);
    sidebar = fresh;
  } else if (hit("tab-to")) {
    setTab(hit("tab-to").dataset.tabTo);
  } else if (hit("edit-open")) {
    dialog.showModal();
  } else if (hit("dismiss")) {
    dialog.close();
  } else if (hit("confirm")) {
    await act("confirm", { userid: member, external_userid: other });
    refresh();
  } else if (hit("delete-contact")) {
    await act("delete_contact", { userid: member, external_userid: other });
    location.href = `${base}/desk?${new URLSearchParams({ member })}`;
  } else if (hit("card-key")) {
    const { cardKey, cardMsgid } = hit("card-key").dataset;
    await act("card", { userid: member, msgid: cardMsgid, key: cardKey });
    toast("已提交");
  } else if (hit("mass-msgid")) {
    await act("confirm_mass_message", { userid: member, msgid: hit("mass-msgid").dataset.massMsgid });
    toast("已发送给客户");
    refresh();
  } else if (hit("moment-id")) {
    await act("publish_moment", { userid: member, moment_id: hit("moment-id").dataset.momentId });
    toast("已发表");
    refresh();
  }
});

const say = document.querySelector("[data-say]");
if (say) {
  sendOnEnter(say);
  say.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = say.elements.text.value;
    if (!text.trim()) return;
    await act("say", { userid: member, external_userid: other, from: "member", text });
    say.reset();
    chat.scrollTop = chat.scrollHeight;
    refresh();
  });
}

const edit = document.querySelector("[data-edit]");
if (edit) {
  edit.addEventListener("submit", async () => {
    const values = new FormData(edit);
    const mobile = values.get("mobile").trim();
    await act("edit_contact", {
      userid: member,
      external_userid: other,
      remark: values.get("remark").trim(),
      description: values.get("description").trim(),
      mobiles: mobile ? [mobile] : [],
      tags: values.getAll("tag"),
    });
    toast("已保存");
    refresh();
  });
}
