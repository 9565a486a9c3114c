// Finds out who the customer is and loads their page; knows when the member has turned to another chat.
import { _ } from "../texts.js";
import { chat, readChat } from "./chat.js";
import { place, request } from "./request.js";
import { toast } from "./toast.js";
import { trouble } from "./troubles.js";

const SLOW_MS = 5000;
// What is wrong with the place we are at, not with the way to it: there a customer's page would be the wrong one. Without
// a signature nobody knows which place that is.
const ELSEWHERE = ["entry", "group", "outside", "signature"];
// Nobody waits for an answer any more.
const OVER = ["given-up", "leaving"];

class ChatContext extends HTMLElement {
  connectedCallback() {
    this.shown = this.hasAttribute("contact") ? contactPage(this.getAttribute("contact")) : "";
    this.isFixed = Boolean(this.shown);
    this.turn = 0;
    const skeleton = this.querySelector(".skeleton");
    this.skeleton = skeleton && skeleton.cloneNode(true);
    if (skeleton && !skeleton.hidden) this.watch(skeleton);
    this.onSeen = () => document.visibilityState === "visible" && this.look();
    this.onBack = (event) => event.persisted && this.look();
    this.onOnline = () => this.isFailed && this.look();
    document.addEventListener("visibilitychange", this.onSeen);
    window.addEventListener("pageshow", this.onBack);
    window.addEventListener("focus", this.onSeen);
    window.addEventListener("online", this.onOnline);
    this.addEventListener("click", (event) => this.act(event));
    this.addEventListener("page:stale", () => this.anew());
    this.look();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.onSeen);
    window.removeEventListener("pageshow", this.onBack);
    window.removeEventListener("focus", this.onSeen);
    window.removeEventListener("online", this.onOnline);
  }

  act(event) {
    const button = event.target.closest("[data-act]");
    if (button && button.dataset.act === "reload") location.reload();
    if (button && button.dataset.act === "retry") this.again();
  }

  again() {
    this.giveUp();
    this.wait();
    return this.look();
  }

  // A member may turn to another chat while we still look: of several looks the last one counts.
  async look() {
    this.turn += 1;
    const mine = this.turn;
    const isLast = () => mine === this.turn;
    try {
      await readChat();
      if (isLast() && !this.isFixed) await this.follow();
    } catch (problem) {
      if (isLast() && !this.isFixed) this.fail(problem);
    }
  }

  fail(problem) {
    if (OVER.includes(problem.kind)) return;
    // What stays is what was last known to be right: a slow client does not take the customer away.
    if (this.shown && !ELSEWHERE.includes(problem.kind)) return;
    this.say(problem.kind, problem);
  }

  async follow() {
    if (!chat.isInClient) return this.say("outside");
    if (chat.contact) return this.load(contactPage(chat.contact));
    if (chat.group) return this.load(`/sidebar/groups/${encodeURIComponent(chat.group)}`);
    if (/group/.test(chat.entry)) return this.say("group");
    if (chat.entry === "normal") return location.replace("/sidebar/today");
    return this.say("entry");
  }

  async load(path) {
    if (path === this.shown || (this.loading && this.loading.path === path)) return;
    this.giveUp();
    this.wait();
    const mine = { path, ending: new AbortController() };
    this.loading = mine;
    try {
      const html = await request("GET", path, undefined, "text/html", mine.ending.signal);
      if (this.loading === mine) this.show(path, html);
    } catch (problem) {
      if (this.loading === mine) this.fail(problem);
    } finally {
      if (this.loading === mine) this.loading = null;
    }
  }

  // What is there stays until the new page has come.
  async anew() {
    const path = this.shown;
    try {
      const html = await request("GET", path, undefined, "text/html");
      if (this.shown === path) this.show(path, html);
    } catch (problem) {
      toast(problem.message);
    }
  }

  // Whatever was on its way is about a customer who is not in front of the member any more.
  giveUp() {
    if (this.loading) this.loading.ending.abort();
    this.loading = null;
    this.shown = "";
  }

  wait() {
    clearTimeout(this.timer);
    if (!this.skeleton) return;
    const skeleton = this.skeleton.cloneNode(true);
    skeleton.hidden = false;
    this.screen.replaceChildren(skeleton);
    this.screen.setAttribute("aria-busy", "true");
    this.watch(skeleton);
  }

  watch(skeleton) {
    this.timer = setTimeout(() => this.tellSlow(skeleton), SLOW_MS);
  }

  tellSlow(skeleton) {
    const slow = document.createElement("p");
    slow.className = "slow";
    slow.setAttribute("role", "status");
    const retry = Object.assign(document.createElement("button"), { type: "button", textContent: _("重试") });
    retry.dataset.act = "retry";
    slow.append(_("网络有点慢，还在读取…"), " ", retry);
    skeleton.append(slow);
  }

  show(path, html) {
    clearTimeout(this.timer);
    this.shown = path;
    this.isFailed = false;
    place(this.screen, html, "innerHTML");
    this.screen.removeAttribute("aria-busy");
    window.scrollTo(0, 0);
  }

  say(kind, problem) {
    clearTimeout(this.timer);
    this.giveUp();
    this.isFailed = true;
    this.screen.replaceChildren(trouble(kind, problem));
    this.screen.removeAttribute("aria-busy");
  }

  get screen() {
    return this.querySelector("#screen");
  }
}

function contactPage(contact) {
  return `/sidebar/contacts/${encodeURIComponent(contact)}`;
}

customElements.define("chat-context", ChatContext);
