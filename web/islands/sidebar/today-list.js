// The member's queue: acts on a customer where they stand, by tap or by key, and stays fresh without losing its place.
import { _ } from "../texts.js";
import { chat, openChat } from "./chat.js";
import { place, request } from "./request.js";
import { toast } from "./toast.js";

const FRESH_MS = 45000;
// As long as somebody may want to take back what was just done, its line stays.
const UNDO_MS = 12000;
const KEYS = { c: "chat", d: "done", p: "later", s: "skip", u: "undo" };

class TodayList extends HTMLElement {
  connectedCallback() {
    this.actedAt = 0;
    this.onSeen = () => document.visibilityState === "visible" && this.refresh();
    this.onKey = (event) => this.press(event);
    this.onSheet = (event) => this.choose(event);
    this.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.act(button);
    });
    document.addEventListener("visibilitychange", this.onSeen);
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("click", this.onSheet);
    window.addEventListener("online", this.onSeen);
    window.addEventListener("pageshow", this.onSeen);
    this.timer = setInterval(this.onSeen, FRESH_MS);
    this.showView();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.onSeen);
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("click", this.onSheet);
    window.removeEventListener("online", this.onSeen);
    window.removeEventListener("pageshow", this.onSeen);
    clearInterval(this.timer);
  }

  // The chosen view may stand beyond the edge of a phone.
  showView() {
    const views = this.querySelector(".views");
    const chosen = views && views.querySelector("[aria-current]");
    if (chosen) views.scrollLeft = chosen.offsetLeft - (views.clientWidth - chosen.offsetWidth) / 2;
  }

  act(button) {
    const what = button.dataset.do;
    const card = button.closest(".errand-card");
    if (what === "chat") return this.chat(card);
    if (what === "seen" || what === "unseen") return this.post(card, `${path(button)}/${what === "seen" ? "done" : "undo"}`);
    const task = button.closest("[data-task]").dataset.task;
    if (what === "skip") return this.ask("today-skip", card, task, "skip");
    if (what === "later") return this.askWhen(card, task);
    return this.post(card, `/sidebar/today/tasks/${task}/${what}`);
  }

  async chat(card) {
    if (!chat.isInClient) return location.assign(card.querySelector(".errand").href);
    try {
      await openChat(card.dataset.contact);
    } catch (problem) {
      toast(problem.message);
    }
    return undefined;
  }

  async askWhen(card, task) {
    try {
      const html = await request("GET", `/sidebar/today/tasks/${task}/later`, undefined, "text/html");
      document.getElementById("today-later").innerHTML = html;
      this.ask("today-later", card, task, "postpone");
    } catch (problem) {
      toast(problem.message);
    }
  }

  ask(id, card, task, act) {
    this.asked = { card, path: `/sidebar/today/tasks/${task}/${act}` };
    const sheet = document.getElementById(id);
    if (sheet.showModal) sheet.showModal();
    else sheet.setAttribute("open", "");
  }

  choose(event) {
    const row = event.target.closest("[data-reason], [data-until]");
    const sheet = row && row.closest("#today-skip, #today-later");
    if (!sheet || !this.asked) return;
    if (sheet.close) sheet.close();
    else sheet.removeAttribute("open");
    const { reason, until } = row.dataset;
    this.post(this.asked.card, this.asked.path, reason ? { reason } : { until });
    this.asked = null;
  }

  async post(card, where, body = {}) {
    if (card.hasAttribute("aria-busy")) return;
    card.setAttribute("aria-busy", "true");
    const isFocused = card.contains(document.activeElement) || document.activeElement === document.body;
    const next = card.nextElementSibling;
    try {
      place(card, await request("POST", where, body, "text/html"));
      this.actedAt = Date.now();
      if (isFocused) this.focusOn(document.getElementById(card.id), next);
    } catch (problem) {
      card.removeAttribute("aria-busy");
      toast(problem.message);
    }
  }

  // The same customer while something waits for him, else the next one.
  focusOn(card, next) {
    const link = (card && card.querySelector(".errand")) || (next && next.querySelector && next.querySelector(".errand"));
    const target = link || (card && card.querySelector("button"));
    if (target) target.focus({ preventScroll: true });
  }

  async refresh() {
    const shown = this.querySelector("#today");
    const isAsking = document.querySelector("dialog[open]");
    if (this.isLooking || isAsking || Date.now() - this.actedAt < UNDO_MS) return;
    this.isLooking = true;
    const count = this.querySelectorAll(".errand-card").length;
    try {
      const { show, digest } = shown.dataset;
      const html = await request("GET", `/sidebar/today/list?show=${show}&count=${count}&seen=${digest}`, undefined, "text/html");
      if (html) this.inPlace(() => place(shown, html));
    } catch (ignored) {
      // The page that is there is still of use; the next look may succeed.
    } finally {
      this.isLooking = false;
    }
  }

  // What the member is looking at stays where it is, and so does the focus.
  inPlace(change) {
    const cards = [...this.querySelectorAll(".errand-card")];
    const seen = cards.filter((card) => card.getBoundingClientRect().bottom > 0);
    const tops = seen.map((card) => [card.id, card.getBoundingClientRect().top]);
    const focused = document.activeElement && document.activeElement.closest(".errand-card");
    const opened = cards.filter((card) => card.querySelector("details[open]")).map((card) => card.id);
    change();
    this.showView();
    const kept = window.scrollY > 0 && tops.find(([id]) => document.getElementById(id));
    if (kept) window.scrollBy(0, document.getElementById(kept[0]).getBoundingClientRect().top - kept[1]);
    opened.forEach((id) => {
      const details = document.querySelector(`#${CSS.escape(id)} details`);
      if (details) details.open = true;
    });
    if (focused) this.focusOn(document.getElementById(focused.id), null);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (/^(input|textarea|select)$/i.test(event.target.tagName)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "j" || key === "ArrowDown") return this.step(event, 1);
    if (key === "k" || key === "ArrowUp") return this.step(event, -1);
    const act = KEYS[key];
    const card = document.activeElement && document.activeElement.closest(".errand-card");
    if (!act) return;
    const button = act === "undo" ? this.lastUndo() : card && card.querySelector(`[data-do="${act}"]`);
    if (button) {
      event.preventDefault();
      this.act(button);
    } else if (!card && act !== "undo") {
      toast(_("先用 J、K 选一位客户"));
    }
  }

  lastUndo() {
    const near = document.activeElement && document.activeElement.closest(".errand-card");
    return (near && near.querySelector('[data-do="undo"], [data-do="unseen"]')) || this.querySelector('[data-do="undo"], [data-do="unseen"]');
  }

  step(event, by) {
    const links = [...this.querySelectorAll(".errand")];
    if (!links.length) return;
    const card = document.activeElement && document.activeElement.closest(".errand-card");
    const at = card ? links.findIndex((link) => card.contains(link)) : by > 0 ? -1 : links.length;
    const next = links[Math.min(Math.max(at + by, 0), links.length - 1)];
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.closest(".errand-card").scrollIntoView({ block: "nearest" });
  }
}

function path(button) {
  return button.closest("[data-path]").dataset.path;
}

customElements.define("today-list", TodayList);
