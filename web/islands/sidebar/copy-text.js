// <copy-text text="..." said="已复制"><button>: copies, and says so.
import { _ } from "../texts.js";
import { Refusal } from "./request.js";
import { toast } from "./toast.js";

export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch (ignored) {
      // Old web views have the API and refuse it.
    }
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.setAttribute("readonly", "");
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Refusal(_("没有复制成功，请长按文字手动复制。"));
}

class CopyText extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", async () => {
      try {
        await copy(this.getAttribute("text"));
        toast(this.getAttribute("said") || _("已复制"));
      } catch (problem) {
        toast(problem.message);
      }
    });
  }
}

customElements.define("copy-text", CopyText);
