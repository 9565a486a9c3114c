// A text area with line numbers: problems mark their lines, Tab indents, Enter keeps the indentation.
class TextEditor extends HTMLElement {
  connectedCallback() {
    this.gutter = this.querySelector(".gutter");
    this.area = this.querySelector("textarea");
    this.mayLeave = false;
    this.area.addEventListener("input", () => this.number());
    this.area.addEventListener("scroll", () => { this.gutter.scrollTop = this.area.scrollTop; });
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.number();
    this.mark();
    document.addEventListener("htmx:afterSwap", () => this.mark());
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-line]");
      if (button) this.go(Number(button.dataset.line));
    });
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
