// The customer's coupon page: one button that copies the code.

class CopyCode extends HTMLElement {
  connectedCallback() {
    this.button = this.querySelector("button");
    this.label = this.button.textContent;
    this.button.addEventListener("click", () => this.copy());
  }

  async copy() {
    const done = await write(this.getAttribute("code"));
    this.button.textContent = done ? "已复制" : "请长按券码复制";
    this.button.classList.toggle("is-done", done);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.button.textContent = this.label;
      this.button.classList.remove("is-done");
    }, 2000);
  }
}

// navigator.clipboard exists only on https; older WeChat views have neither it nor the permission.
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.readOnly = true;
    field.className = "offscreen";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

customElements.define("copy-code", CopyCode);
