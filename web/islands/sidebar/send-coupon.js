// Sends a coupon's card into the chat, or copies its address when there is no chat.
import { _ } from "../texts.js";
import { SILENCE, canSendTo, chat, readChat, sendMessage } from "./chat.js";
import { newOnce, release } from "./release.js";
import { Refusal } from "./request.js";
import { report } from "./reports.js";
import { toast } from "./toast.js";

class SendCoupon extends HTMLElement {
  connectedCallback() {
    this.onRead = () => this.settle();
    document.addEventListener("chat:read", this.onRead);
    this.addEventListener("click", () => this.send());
    this.settle();
  }

  disconnectedCallback() {
    document.removeEventListener("chat:read", this.onRead);
  }

  settle() {
    this.hidden = !chat.isInClient || (Boolean(chat.entry) && !canSendTo(this.getAttribute("contact")));
  }

  async send() {
    const button = this.querySelector("button");
    const path = `/sidebar/contacts/${encodeURIComponent(this.getAttribute("contact"))}/coupons/${this.getAttribute("coupon")}`;
    button.disabled = true;
    try {
      await readChat();
      if (!canSendTo(this.getAttribute("contact"))) throw new Refusal(_("当前打开的不是这位客户的聊天。"));
      const { messages, once } = await release(path, newOnce());
      const refusal = await sendMessage(messages[0], this.getAttribute("contact")).then(() => null, (problem) => problem);
      if (refusal && refusal.detail === SILENCE) throw new Refusal(_("企业微信没有回应，请看一眼聊天里有没有这张券。"));
      await report(`${path}/sending`, { once, ok: !refusal, error: refusal ? refusal.detail : "" }, "application/json");
      toast(refusal ? refusal.message : _("券已发送"));
    } catch (problem) {
      toast(problem.message);
    } finally {
      button.disabled = false;
    }
  }
}

customElements.define("send-coupon", SendCoupon);
