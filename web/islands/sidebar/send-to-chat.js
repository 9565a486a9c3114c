// One tap: ask whether it may still be sent, hand each message to the client, tell the server what came of it.
import { _ } from "../texts.js";
import { SILENCE, canSendTo, chat, openChat, readChat, sendMessage } from "./chat.js";
import { copy } from "./copy-text.js";
import { forgetDraft } from "./drafts.js";
import { Refusal, place, request } from "./request.js";
import { isUnreported, makeUp, report } from "./reports.js";
import { store, stored } from "./stored.js";
import { toast } from "./toast.js";

class SendToChat extends HTMLElement {
  connectedCallback() {
    this.onRead = () => this.settle();
    this.onReported = (event) => event.detail === `${this.path}/sending` && this.refresh().catch(() => {});
    document.addEventListener("chat:read", this.onRead);
    document.addEventListener("report:made", this.onReported);
    this.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      const act = button && { send: () => this.send(), copy: () => this.copy(), edit: () => this.edit(button) }[button.dataset.act];
      if (act) act();
    });
    this.addEventListener("draft:restored", () => this.edit(this.querySelector('[data-act="edit"]')));
    this.addEventListener("htmx:afterSettle", () => this.settle());
    this.settle();
    if (isUnreported(`${this.path}/sending`)) this.tellUnreported();
  }

  disconnectedCallback() {
    document.removeEventListener("chat:read", this.onRead);
    document.removeEventListener("report:made", this.onReported);
  }

  // Beside another chat, or beside none, there is nothing to send into: then the text is copied.
  settle() {
    const isElsewhere = !chat.isInClient || (chat.entry && !canSendTo(this.contact));
    // What the guards refuse is said where the button stood.
    const isBraked = Boolean(this.querySelector('[data-brake="stop"]'));
    this.show('[data-act="send"]', !isElsewhere && !isBraked);
    this.show('[data-act="copy"]', isElsewhere && !isBraked);
  }

  async send() {
    await this.during(async () => {
      // The tap counts for the chat that is open now, not for the one that was open a minute ago.
      await readChat();
      if (!canSendTo(this.contact)) throw new Refusal(_("当前打开的不是这位客户的聊天，请切换到与他的聊天再发送。"));
      await makeUp();
      const { messages } = await request("POST", `${this.path}/release`, this.said);
      const refusal = await this.sendAll(messages);
      // Only the member can see whether a message is in the chat that the client never answered for: the page asks.
      if (refusal && refusal.detail === SILENCE) return this.refresh();
      const html = await report(`${this.path}/sending`, { ok: !refusal, error: refusal ? refusal.detail : "" });
      this.renew(html, refusal && refusal.message);
      if (refusal) return;
      this.forget();
      if (html) toast(_("已发送"));
      else this.tellUnreported();
    });
  }

  // It is in the chat, and only we do not know it yet: there is nothing left to tap.
  tellUnreported() {
    this.setAttribute("data-sent", "");
    this.tell(_("已发送。结果还没有记下来，网络恢复后会自动补上。"));
  }

  // What went out before a later message failed is not sent again by the next tap, though the page be a new one.
  async sendAll(messages) {
    const key = `sent:${this.getAttribute("task")}`;
    const wanted = messages.map((message) => JSON.stringify(message));
    const sent = stored(key, []);
    // Other words than those that went out are another message.
    let done = sent.every((message, at) => message === wanted[at]) ? sent.length : 0;
    try {
      for (; done < messages.length; done += 1) {
        await sendMessage(messages[done], this.contact);
        store(key, wanted.slice(0, done + 1));
      }
    } catch (problem) {
      if (!done) return problem;
      return new Refusal(_("前 {done} 条已发出，其余没有发出。{reason}再点一次只会补发剩下的。", { done, reason: problem.message }), problem.detail);
    }
    store(key, undefined);
    return null;
  }

  async copy() {
    await this.during(async () => {
      const { messages } = await request("POST", `${this.path}/release`, this.said);
      await copy(messages.map(asText).filter(Boolean).join("\n"));
      toast(_("已复制，去聊天里粘贴发送"));
      await this.refresh();
      await openChat(this.contact).catch(() => {});
    });
  }

  async during(act) {
    this.tell("");
    this.setBusy(true);
    try {
      await act();
    } catch (problem) {
      if (problem.status === 409) await this.refresh(problem.message);
      else this.tell(problem.message);
    } finally {
      this.setBusy(false);
    }
  }

  async refresh(problem) {
    const path = `/sidebar/contacts/${encodeURIComponent(this.contact)}/now?task=${this.getAttribute("task")}`;
    this.renew(await request("GET", path, undefined, "text/html"), problem);
  }

  // Not when the member has turned to another customer meanwhile: this card is gone, and what stands there is theirs.
  renew(html, problem) {
    if (!html || !this.isConnected) return;
    place("#now", html);
    const same = document.querySelector(`send-to-chat[task="${this.getAttribute("task")}"]`);
    if (problem && same) same.tell(problem);
  }

  edit(button) {
    const isOpen = this.part("edit").hidden;
    this.part("edit").hidden = !isOpen;
    this.part("text").hidden = isOpen;
    button.textContent = isOpen ? _("不改了") : _("改一改");
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) open(this.part("edit").querySelector("textarea"));
    else this.forget();
  }

  tell(problem) {
    const box = this.part("problem");
    box.textContent = problem;
    box.hidden = !problem;
  }

  setBusy(isBusy) {
    this.querySelectorAll("button").forEach((button) => {
      button.disabled = isBusy;
    });
    this.setAttribute("aria-busy", String(isBusy));
    const send = this.querySelector('[data-act="send"]');
    if (send) send.textContent = isBusy ? _("正在发送…") : _("发送到聊天");
  }

  show(selector, isShown) {
    const found = this.querySelector(selector);
    if (found) found.hidden = !isShown;
  }

  part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }

  forget() {
    const editor = this.part("edit");
    if (editor) forgetDraft(editor.querySelector("textarea"));
  }

  // The member's own words, if the editor is open.
  get said() {
    const editor = this.part("edit");
    return editor && !editor.hidden ? { text: editor.querySelector("textarea").value } : {};
  }

  get contact() {
    return this.getAttribute("contact");
  }

  get path() {
    return `/sidebar/tasks/${this.getAttribute("task")}`;
  }
}

// As tall as its text, with the caret at the end.
function open(editor) {
  const fit = () => {
    editor.style.height = "auto";
    editor.style.height = `${editor.scrollHeight + 2}px`;
  };
  editor.addEventListener("input", fit);
  fit();
  editor.focus();
  editor.setSelectionRange(editor.value.length, editor.value.length);
}

function asText(message) {
  const body = message[message.msgtype] || {};
  if (message.msgtype === "text") return body.content;
  return body.link ? `${body.title || ""} ${body.link}`.trim() : "";
}

customElements.define("send-to-chat", SendToChat);
