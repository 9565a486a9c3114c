// Sends an order's or a product's card into the chat, or copies its words when there is no chat.
import { _ } from "../texts.js";
import { SILENCE, canSendTo, chat, readChat, sendMessage } from "./chat.js";
import { copy } from "./copy-text.js";
import { newOnce, release } from "./release.js";
import { Refusal, request } from "./request.js";
import { report } from "./reports.js";
import { toast } from "./toast.js";

class SendCard extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => this.act());
  }

  async act() {
    const button = this.querySelector("button");
    button.disabled = true;
    try {
      await readChat();
      await (canSendTo(this.contact) ? this.send() : this.copy());
    } catch (problem) {
      toast(problem.message);
    } finally {
      button.disabled = false;
    }
  }

  async send() {
    const { messages, once } = await release(this.path, newOnce(), { line: this.line }, `${this.path} ${this.line}`);
    const refusal = await sendMessage(messages[0], this.contact).then(() => null, (problem) => problem);
    if (refusal && refusal.detail === SILENCE) throw new Refusal(_("企业微信没有回应，请看一眼聊天里有没有这张卡片。"));
    await report(`${this.path}/sending`, { once, ok: !refusal, error: refusal ? refusal.detail : "" }, "application/json");
    toast(refusal ? refusal.message : _("已发送"));
  }

  async copy() {
    if (chat.isInClient && chat.entry && chat.contact) throw new Refusal(_("当前打开的不是这位客户的聊天，请切换到与他的聊天再发送。"));
    const { messages } = await request("GET", `${this.path}?line=${encodeURIComponent(this.line)}`);
    await copy(asText(messages[0]));
    toast(_("已复制，去聊天里粘贴发送"));
  }

  get contact() {
    return this.getAttribute("contact");
  }

  get line() {
    return this.getAttribute("line") || "";
  }

  get path() {
    return `/sidebar/contacts/${encodeURIComponent(this.contact)}/cards/${this.getAttribute("path")}`;
  }
}

function asText(message) {
  const body = message[message.msgtype] || {};
  return message.msgtype === "text" ? body.content : [body.title, body.desc, body.link].filter(Boolean).join("\n");
}

customElements.define("send-card", SendCard);
