// Tabs whose panels are all in the page; arrow keys move between them, and the one last open is open again next time.
import htmx from "htmx.org";
import { keep, kept } from "./kept.js";

class SideTabs extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const tab = event.target.closest('[role="tab"]');
      if (tab) this.select(tab);
    });
    this.addEventListener("keydown", (event) => this.step(event));
    // A row elsewhere on the page leads to a tab, and to a place in it: <button data-tab="orders" data-at="order-7">.
    this.onLed = (event) => this.lead(event);
    document.addEventListener("click", this.onLed);
    this.restore();
  }

  disconnectedCallback() {
    document.removeEventListener("click", this.onLed);
  }

  restore() {
    const last = this.tab(kept(this.contact, "tab"));
    if (last) this.select(last);
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

  lead(event) {
    const row = event.target.closest("[data-tab]");
    const tab = row && this.tab(row.dataset.tab);
    if (!tab) return;
    this.select(tab);
    tab.focus({ preventScroll: true });
    const place = row.dataset.at && document.getElementById(row.dataset.at);
    (place || this).scrollIntoView({ block: place ? "center" : "start" });
    if (place) mark(place);
  }

  select(chosen) {
    const isStuck = this.getBoundingClientRect().top < 0;
    this.tabs.forEach((tab) => {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      panel(tab).hidden = !isChosen;
    });
    // What is read only now listens for that; the page may be too young for htmx to have gone over it.
    htmx.process(panel(chosen));
    panel(chosen).dispatchEvent(new CustomEvent("tab:open"));
    keep(this.contact, "tab", chosen.id);
    if (isStuck) this.scrollIntoView();
  }

  tab(name) {
    return this.tabs.find((tab) => tab.id === name || tab.id === `tab-${name}`);
  }

  get tabs() {
    return Array.from(this.querySelectorAll('[role="tab"]'));
  }

  get contact() {
    return this.getAttribute("contact");
  }
}

function panel(tab) {
  return document.getElementById(tab.getAttribute("aria-controls"));
}

function mark(place) {
  place.classList.add("is-led-to");
  setTimeout(() => place.classList.remove("is-led-to"), 1600);
}

customElements.define("side-tabs", SideTabs);
