// The menu of a phone: opens under its button, closes by Escape or a tap beside it.
class SideMenu extends HTMLElement {
  connectedCallback() {
    this.button = this.querySelector("button[aria-controls]");
    this.button.addEventListener("click", () => this.show(!this.hasAttribute("data-open")));
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.show(false);
      this.button.focus();
    });
    this.closeBeside = (event) => this.contains(event.target) || this.show(false);
    document.addEventListener("click", this.closeBeside);
    const here = this.querySelector("[aria-current]");
    // Where we are is in sight, however long the menu has grown.
    if (here && here.offsetTop + here.offsetHeight > this.clientHeight) this.scrollTop = here.offsetTop - this.clientHeight / 2;
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.closeBeside);
  }

  show(isOpen) {
    this.toggleAttribute("data-open", isOpen);
    this.button.setAttribute("aria-expanded", String(isOpen));
  }
}

customElements.define("side-menu", SideMenu);
