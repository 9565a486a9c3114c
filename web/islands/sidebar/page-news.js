// What came about this customer while their page stood open; a tap reads the page anew.
import { request } from "./request.js";

const EVERY_MS = 30000;
const LEAST_MS = 5000;

class PageNews extends HTMLElement {
  connectedCallback() {
    this.lookedAt = Date.now();
    this.onSeen = () => document.visibilityState === "visible" && this.look();
    document.addEventListener("visibilitychange", this.onSeen);
    window.addEventListener("focus", this.onSeen);
    this.timer = setInterval(this.onSeen, EVERY_MS);
    this.addEventListener("click", (event) => {
      if (event.target.closest("button")) this.dispatchEvent(new CustomEvent("page:stale", { bubbles: true }));
    });
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.onSeen);
    window.removeEventListener("focus", this.onSeen);
    clearInterval(this.timer);
  }

  async look() {
    if (Date.now() - this.lookedAt < LEAST_MS) return;
    this.lookedAt = Date.now();
    try {
      const html = await request("GET", this.getAttribute("path"), undefined, "text/html");
      // Told once: the same words again would be read aloud again.
      if (html && html !== this.told) this.innerHTML = this.told = html;
    } catch (ignored) {
      // The page that is there is still of use; the next look may succeed.
    }
  }
}

customElements.define("page-news", PageNews);
