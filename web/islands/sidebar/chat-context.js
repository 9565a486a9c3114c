// Finds out who the customer is and loads their page; knows when the member has turned to another chat.
import { chat, readChat } from "./chat.js";
import { place, request } from "./request.js";

class ChatContext extends HTMLElement {
  connectedCallback() {
    this.shown = this.getAttribute("contact") || "";
    this.isFixed = Boolean(this.shown);
    this.onSeen = () => document.visibilityState === "visible" && this.look();
    this.onOnline = () => this.isFailed && this.look();
    document.addEventListener("visibilitychange", this.onSeen);
    window.addEventListener("online", this.onOnline);
    this.addEventListener("click", (event) => {
      if (event.target.closest('[data-act="retry"]')) this.look();
    });
    this.look();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.onSeen);
    window.removeEventListener("online", this.onOnline);
  }

  async look() {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      await readChat();
      if (!this.isFixed) await this.follow();
      this.isFailed = false;
    } catch (problem) {
      if (!this.isFixed && !this.shown) this.say("failed", problem.message);
    } finally {
      this.isLooking = false;
    }
  }

  async follow() {
    if (!chat.isInClient) return this.say("outside");
    if (chat.contact) return this.load(chat.contact);
    if (/group/.test(chat.entry)) return this.say("group");
    if (chat.entry === "normal") return location.replace("/sidebar/tasks");
    return this.say("outside");
  }

  async load(contact) {
    if (contact === this.shown) return;
    const html = await request("GET", `/sidebar/contacts/${encodeURIComponent(contact)}`, undefined, "text/html");
    this.shown = contact;
    place(this.screen, html, "innerHTML");
    this.screen.removeAttribute("aria-busy");
    window.scrollTo(0, 0);
  }

  say(state, why = "") {
    const words = this.querySelector(`template[data-state="${state}"]`).content.cloneNode(true);
    const reason = words.querySelector("[data-reason]");
    if (reason) reason.textContent = why;
    this.screen.replaceChildren(words);
    this.screen.removeAttribute("aria-busy");
    this.shown = "";
    this.isFailed = state === "failed";
  }

  get screen() {
    return this.querySelector("#screen");
  }
}

customElements.define("chat-context", ChatContext);
