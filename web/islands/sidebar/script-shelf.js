// The tab of scripts: rows open a half-screen dialog; arrow keys walk from the search through the rows.
import { place, request } from "./request.js";
import { close, open } from "./sheet.js";
import { toast } from "./toast.js";

class ScriptShelf extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const opener = event.target.closest("[data-sheet]");
      if (opener) this.show(opener);
    });
    this.addEventListener("keydown", (event) => this.step(event));
    this.addEventListener("script:done", () => this.renew());
    // Before the form asks for the list. What was typed has been asked for: leaving the field asks for nothing new,
    // and a list that is drawn anew would lose the focus.
    this.form.addEventListener("change", (event) => (event.target === this.search ? event.stopPropagation() : this.forgetTyped()), true);
    this.sheet.addEventListener("close", () => this.sheet.replaceChildren());
  }

  async show(opener) {
    opener.setAttribute("aria-busy", "true");
    try {
      const html = await request("GET", opener.dataset.sheet, undefined, "text/html");
      place(this.sheet, html, "innerHTML");
      if (!this.sheet.open) open(this.sheet);
    } catch (problem) {
      toast(problem.message);
      if (problem.status === 404) this.refresh();
    } finally {
      opener.removeAttribute("aria-busy");
    }
  }

  // Something was saved or deleted.
  renew() {
    close(this.sheet);
    this.refresh();
  }

  refresh() {
    this.form.dispatchEvent(new CustomEvent("shelf:stale"));
  }

  // Who turns to a view or a folder has done with searching.
  forgetTyped() {
    this.search.value = "";
  }

  step(event) {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [this.search, ...this.querySelectorAll(".script-open")];
    const at = rows.indexOf(event.target);
    if (event.key === "Escape" && event.target === this.search && this.search.value) return this.leave(event);
    if (!move || at < 0 || !rows[at + move]) return undefined;
    rows[at + move].focus();
    return event.preventDefault();
  }

  leave(event) {
    event.preventDefault();
    this.forgetTyped();
    this.refresh();
  }

  get form() {
    return this.querySelector("form.scripts-find");
  }

  get search() {
    return this.form.querySelector('input[type="search"]');
  }

  get sheet() {
    return this.querySelector("#script-sheet");
  }
}

customElements.define("script-shelf", ScriptShelf);
