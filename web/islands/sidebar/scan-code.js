// WeCom's own scanner reads a customer's code; without WeCom the field does.
import { _ } from "../texts.js";
import { chat, scan } from "./chat.js";
import { toast } from "./toast.js";

class ScanCode extends HTMLElement {
  connectedCallback() {
    this.hidden = !chat.isInClient;
    this.addEventListener("click", () => this.look());
  }

  async look() {
    try {
      const code = await scan();
      if (code) location.assign(`/sidebar/scan?code=${encodeURIComponent(code)}`);
    } catch (problem) {
      toast(problem.message || _("没有扫到，请手动输入券码"));
    }
  }
}

customElements.define("scan-code", ScanCode);
