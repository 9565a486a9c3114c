// Sends a script in one tap, from its row or from its dialog; without a chat its words are copied.
import { _ } from "../texts.js";
import { SILENCE, canSendTo, chat, openChat, readChat, sendMessage } from "./chat.js";
import { copy } from "./copy-text.js";
import { forgetDraft } from "./drafts.js";
import { keep, kept } from "./kept.js";
import { release } from "./release.js";
import { Refusal } from "./request.js";
import { makeUp, report } from "./reports.js";
import { close } from "./sheet.js";
import { toast } from "./toast.js";

// Who taps later than that means the whole of it.
const SAME_MS = 10 * 60 * 1000;

class SendScript extends HTMLElement {
  connectedCallback() {
    this.onRead = () => this.settle();
    document.addEventListener("chat:read", this.onRead);
    this.addEventListener("click", (event) => this.act(event.target.closest("[data-act]")));
    this.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.act(this.querySelector('[data-act="send"]:not([hidden])'));
    });
    this.addEventListener("draft:restored", () => this.isEditing || this.edit(this.querySelector('[data-act="edit"]')));
    this.settle();
  }

  disconnectedCallback() {
    document.removeEventListener("chat:read", this.onRead);
  }

  act(button) {
    const acts = { send: () => this.send(), copy: () => this.copy(), edit: () => this.edit(button), "was-sent": () => this.settleDoubt(true), "was-not": () => this.settleDoubt(false) };
    if (button && acts[button.dataset.act]) acts[button.dataset.act]();
  }

  settle() {
    const isElsewhere = !chat.isInClient || (chat.entry && !canSendTo(this.contact));
    this.show('[data-act="send"]', !isElsewhere);
    this.show('[data-act="copy"]', isElsewhere);
  }

  async send() {
    await this.during(async () => {
      await readChat();
      if (!canSendTo(this.contact)) throw new Refusal(_("当前打开的不是这位客户的聊天，请切换到与他的聊天再发送。"));
      await makeUp();
      const { messages, once } = await release(this.path, this.getAttribute("once"), this.said);
      this.setAttribute("once", once);
      const refusal = await this.sendAll(messages);
      if (refusal && refusal.detail === SILENCE) return this.doubt();
      const told = await this.tellServer(!refusal, refusal ? refusal.detail : "");
      if (refusal) throw refusal;
      return this.end(told ? _("已发送") : _("已发送。结果还没有记下来，网络恢复后会自动补上。"));
    });
  }

  // What went out before a later message failed is not sent again by the next tap, though the page be a new one.
  async sendAll(messages) {
    const wanted = messages.map((message) => JSON.stringify(message));
    let done = this.sent.every((message, at) => message === wanted[at]) ? this.sent.length : 0;
    try {
      for (; done < messages.length; done += 1) {
        await sendMessage(messages[done], this.contact);
        this.sent = wanted.slice(0, done + 1);
      }
    } catch (problem) {
      if (!done || problem.detail === SILENCE) return problem;
      return new Refusal(_("前 {done} 条已发出，其余没有发出。{reason}再点一次只会补发剩下的。", { done, reason: problem.message }), problem.detail);
    }
    return null;
  }

  async tellServer(ok, error) {
    const told = await report(`${this.path}/sending`, { once: this.getAttribute("once"), ok, error }, "application/json");
    if (ok && told) this.setAttribute("once", told.once);
    return told;
  }

  // Only the member can see whether a message is in the chat that the client never answered for.
  doubt() {
    const box = this.part("doubt");
    if (!box) throw new Refusal(_("企业微信没有回应。请看一眼聊天里有没有这条，没有再点开它发送。"));
    box.hidden = false;
    this.show('[data-act="send"]', false);
  }

  async settleDoubt(ok) {
    await this.during(async () => {
      await this.tellServer(ok, ok ? "" : _("员工看过聊天，没有发出"));
      this.part("doubt").hidden = true;
      if (ok) this.end(_("已记为发送"));
    });
    this.settle();
  }

  end(words) {
    this.sent = [];
    this.querySelectorAll("textarea").forEach(forgetDraft);
    const sheet = this.closest("dialog");
    if (sheet) close(sheet);
    toast(words);
  }

  async copy() {
    await this.during(async () => {
      const words = this.said.text === undefined ? this.getAttribute("copied") : this.said.text;
      if (!words) throw new Refusal(_("这条只有图片或文件，请在与客户的聊天旁边打开侧边栏再发送。"));
      await copy(words);
      toast(_("已复制，去聊天里粘贴发送"));
      await openChat(this.contact).catch(() => {});
    });
  }

  edit(button) {
    const isOpen = !this.isEditing;
    this.part("edit").hidden = !isOpen;
    this.part("text").hidden = isOpen;
    if (button) {
      button.textContent = isOpen ? _("不改了") : _("改一改");
      button.setAttribute("aria-expanded", String(isOpen));
    }
    if (isOpen) this.querySelector("textarea").focus();
  }

  async during(act) {
    this.tell("");
    this.setBusy(true);
    try {
      await act();
    } catch (problem) {
      this.tell(problem.message);
    } finally {
      this.setBusy(false);
    }
  }

  // In a row there is no room for it.
  tell(problem) {
    const box = this.part("problem");
    if (!box) return problem && toast(problem);
    box.textContent = problem;
    box.hidden = !problem;
    return undefined;
  }

  setBusy(isBusy) {
    this.querySelectorAll("button").forEach((button) => {
      button.disabled = isBusy;
    });
    this.setAttribute("aria-busy", String(isBusy));
  }

  show(selector, isShown) {
    const found = this.querySelector(selector);
    if (found) found.hidden = !isShown;
  }

  part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }

  get sent() {
    const { at, messages } = kept(this.contact, this.half) || { at: 0, messages: [] };
    return Date.now() - at < SAME_MS ? messages : [];
  }

  set sent(messages) {
    keep(this.contact, this.half, messages.length ? { at: Date.now(), messages } : undefined);
  }

  get half() {
    return `sent:${this.getAttribute("script")}`;
  }

  get isEditing() {
    const editor = this.part("edit");
    return Boolean(editor) && !editor.hidden;
  }

  // The member's own words, if the editor is open.
  get said() {
    return this.isEditing ? { text: this.querySelector("textarea").value } : {};
  }

  get contact() {
    return this.getAttribute("contact");
  }

  get path() {
    return `/sidebar/contacts/${encodeURIComponent(this.contact)}/scripts/${this.getAttribute("script")}`;
  }
}

customElements.define("send-script", SendScript);
