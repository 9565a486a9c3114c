// A text area with line numbers: problems mark their lines, Tab indents, Enter keeps the indentation. What is written
// stays in the browser until the server has it: a closed tab or network loses nothing.
class TextEditor extends HTMLElement {
  connectedCallback() {
    this.gutter = this.querySelector(".gutter");
    this.area = this.querySelector("textarea");
    this.mayLeave = false;
    this.area.addEventListener("input", () => { this.number(); this.keep(); });
    this.area.addEventListener("scroll", () => { this.gutter.scrollTop = this.area.scrollTop; });
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.number();
    this.mark();
    document.addEventListener("htmx:configRequest", (event) => { this.sent = event.detail.parameters.source || this.sent; });
    document.addEventListener("htmx:afterSwap", () => { this.mark(); this.forgetSent(); });
    window.addEventListener("pagehide", () => this.flush());
    this.offer();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-line]");
      if (button) this.go(Number(button.dataset.line));
    });
  }

  // Kept until it is saved ---------------------------------------------------------------------------------------------

  get place() { return `draft-text:${location.pathname}`; }

  get kept() {
    try { return localStorage.getItem(this.place); } catch { return null; }
  }

  keep() {
    try { localStorage.setItem(this.place, this.area.value); } catch { /* full or forbidden: the server has all but the last moment */ }
  }

  forget() {
    try { localStorage.removeItem(this.place); } catch { /* nothing was kept */ }
  }

  forgetSent() {
    const refused = document.querySelector("#problems [role=alert]");
    if (!refused && this.sent !== undefined && this.kept === this.sent) this.forget();
  }

  // Whoever closes the page within the moment before it is saved.
  flush() {
    const form = this.closest("form[hx-post]");
    if (!form || this.kept === null || this.kept.length > 15000) return;
    fetch(form.getAttribute("hx-post"), { method: "POST", body: new URLSearchParams(new FormData(form)), keepalive: true });
  }

  offer() {
    const kept = this.kept;
    if (kept === null) return;
    if (kept === this.area.value) { this.forget(); return; }
    const line = document.createElement("p");
    line.className = "notice with-act";
    line.setAttribute("role", "status");
    const words = document.createElement("span");
    words.textContent = "上次在这里写的还没有保存。";
    const acts = document.createElement("span");
    acts.append(this.button("恢复", () => {
      this.area.value = kept;
      this.area.dispatchEvent(new Event("input", { bubbles: true }));
      line.remove();
      this.area.focus();
    }), " ", this.button("丢弃", () => { this.forget(); line.remove(); }));
    line.append(words, acts);
    this.before(line);
  }

  button(words, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "link";
    made.textContent = words;
    made.addEventListener("click", act);
    return made;
  }

  number() {
    const lines = this.area.value.split("\n").length;
    while (this.gutter.childElementCount > lines) this.gutter.lastElementChild.remove();
    while (this.gutter.childElementCount < lines) {
      const line = document.createElement("span");
      line.textContent = this.gutter.childElementCount + 1;
      this.gutter.append(line);
    }
    this.gutter.scrollTop = this.area.scrollTop;
  }

  mark() {
    const problems = document.getElementById("problems");
    const lines = new Set(problems ? problems.dataset.lines.split(" ").map(Number) : []);
    [...this.gutter.children].forEach((line, index) => line.classList.toggle("wrong", lines.has(index + 1)));
  }

  go(number) {
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[number - 1] || "").length);
    const height = parseFloat(getComputedStyle(this.area).lineHeight);
    this.area.scrollTop = Math.max(0, (number - 4) * height);
  }

  key(event) {
    // After Escape, Tab leaves: nobody is caught here.
    if (event.key === "Escape") { this.mayLeave = true; return; }
    if (event.key === "Tab" && !event.shiftKey && !this.mayLeave) {
      event.preventDefault();
      this.insert("  ");
    } else if (event.key === "Enter" && !event.isComposing) {
      const before = this.area.value.slice(0, this.area.selectionStart);
      const indent = before.slice(before.lastIndexOf("\n") + 1).match(/^ */)[0];
      if (indent) { event.preventDefault(); this.insert("\n" + indent); }
    }
    this.mayLeave = false;
  }

  insert(text) {
    this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
    this.area.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

customElements.define("text-editor", TextEditor);
