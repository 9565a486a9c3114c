// Tabs whose panels are all in the page; arrow keys move between them.
class SideTabs extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const tab = event.target.closest('[role="tab"]');
      if (tab) this.select(tab);
    });
    this.addEventListener("keydown", (event) => this.step(event));
  }

  step(event) {
    const at = this.tabs.indexOf(event.target);
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at < 0 || !move) return;
    const next = this.tabs[(at + move + this.tabs.length) % this.tabs.length];
    this.select(next);
    next.focus();
    event.preventDefault();
  }

  select(chosen) {
    const isStuck = this.getBoundingClientRect().top < 0;
    this.tabs.forEach((tab) => {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isChosen;
    });
    if (isStuck) this.scrollIntoView();
  }

  get tabs() {
    return Array.from(this.querySelectorAll('[role="tab"]'));
  }
}

customElements.define("side-tabs", SideTabs);
