// The search box of the frame: a list below it that is walked with the arrow keys while the typing goes on.
class GlobalSearch extends HTMLElement {
  connectedCallback() {
    this.field = this.querySelector("input");
    this.list = this.querySelector("[role=listbox]");
    this.field.addEventListener("keydown", (event) => this.press(event));
    this.field.addEventListener("focus", () => this.show());
    this.querySelector("button").addEventListener("click", () => {
      this.toggleAttribute("data-open", true);
      this.field.focus();
    });
    this.list.addEventListener("htmx:afterSwap", () => this.show());
    this.addEventListener("focusout", (event) => {
      if (!this.contains(event.relatedTarget)) this.hide();
    });
    // A tap on a hit must not close the list before it is followed.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.field.addEventListener("htmx:configRequest", (event) => {
      event.detail.parameters.q = this.field.value.trim();
    });
  }

  get hits() {
    return [...this.list.querySelectorAll("[role=option]")];
  }

  press(event) {
    const hits = this.hits;
    const at = hits.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const from = at < 0 && step < 0 ? 0 : at;
      if (hits.length) this.choose(hits[(from + step + hits.length) % hits.length]);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      hits[at].click();
    } else if (event.key === "Escape") {
      this.hide();
      this.field.blur();
    }
  }

  choose(chosen) {
    this.hits.forEach((hit) => hit.setAttribute("aria-selected", String(hit === chosen)));
    this.field.setAttribute("aria-activedescendant", chosen ? chosen.id : "");
    if (chosen) chosen.scrollIntoView({ block: "nearest" });
  }

  show() {
    const isFull = this.list.childElementCount > 0 && this.contains(document.activeElement);
    this.list.hidden = !isFull;
    this.field.setAttribute("aria-expanded", String(isFull));
    this.field.setAttribute("aria-activedescendant", "");
  }

  hide() {
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.choose(null);
    this.toggleAttribute("data-open", false);
  }
}
customElements.define("global-search", GlobalSearch);
