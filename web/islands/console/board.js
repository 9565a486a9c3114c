// The board: every act goes to the server, which writes the text; what comes back takes the place of what stands here.
import Sortable from "sortablejs";

const TYPING = 700;
const A_MOMENT = 60_000;
const MOST_UNDO = 60;
const PIECES = ["board-chips", "board-publish", "board-title", "board-text", "board-story"];

class BoardEditor extends HTMLElement {
  connectedCallback() {
    this.of = this.dataset.of;
    this.queue = Promise.resolve();
    this.waiting = 0;
    // Controls that were touched since the latest request left: its answer does not know of them.
    this.touched = new Set();
    this.person = sessionStorage.getItem("board-person") || "";
    this.stacks = this.readStacks();
    this.addEventListener("click", (event) => this.click(event));
    this.addEventListener("change", (event) => this.change(event));
    this.addEventListener("input", (event) => this.input(event));
    this.addEventListener("submit", (event) => event.preventDefault());
    this.onKey = (event) => this.key(event);
    this.onLeave = (event) => { if (this.waiting || this.typed) { this.flush(); event.preventDefault(); } };
    this.onLink = (event) => this.link(event);
    document.addEventListener("keydown", this.onKey);
    document.addEventListener("click", this.onLink);
    window.addEventListener("beforeunload", this.onLeave);
    this.sort();
    this.mark();
    if (new URLSearchParams(location.search).has("show")) this.openPanel();
    if (this.person) this.show(this.shown, false);
    this.makeUp();
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.onKey);
    document.removeEventListener("click", this.onLink);
    window.removeEventListener("beforeunload", this.onLeave);
  }

  get panel() { return document.getElementById("board-panel"); }
  get form() { return this.panel.querySelector("form"); }
  get text() { return document.getElementById("board-text"); }
  get shown() { return this.panel.dataset.shown || "trigger"; }

  // Asking the server ----------------------------------------------------------------------------------------------

  // One after the other: each act is about the text that the one before has left.
  send(op, values = [], { fresh = true, group = null, focus = null, again = false } = {}) {
    this.waiting += 1;
    this.saved("正在保存…");
    this.queue = this.queue.then(() => this.post(op, values, { fresh, group, focus, again })).finally(() => { this.waiting -= 1; });
    return this.queue;
  }

  // An act that moves steps about: until it is answered, nobody can say which step the panel is about.
  async sendMove(op, values, options) {
    const { panel } = this;
    panel.inert = true;
    await this.send(op, values, options);
    panel.inert = false;
  }

  async post(op, values, { fresh, group, focus, again }) {
    this.touched.clear();
    const body = new URLSearchParams([["op", op], ["seen", this.text.dataset.seen], ["show", this.shown], ["person", this.person], ...values]);
    // The last word of who closes the page still arrives.
    const answer = await this.fetch(`${this.of}/edit`, { method: "POST", body, keepalive: op !== "restore" });
    if (!answer) return;
    const html = await answer.text();
    if (answer.ok) {
      if (op === "put" && !this.typed) this.keep(null);
      if (op !== "restore") this.remember(this.text.value, group && `${this.shown}/${group.dataset.field}`);
      this.place(html, { fresh, focus });
      this.complain(group, "");
    } else if (answer.status === 423) {
      this.locked(words(html), () => this.send(op, values, { fresh, group, focus }));
    } else if (answer.status === 409 && again) {
      location.reload();
    } else if (answer.status === 409) {
      this.conflict(words(html));
    } else {
      if (again) this.keep(null);
      this.complain(group, words(html));
      this.saved("没有保存");
    }
  }

  async show(what, opens = true) {
    this.flush();
    await this.queue;
    const query = new URLSearchParams({ show: what, person: this.person });
    const answer = await this.fetch(`${this.of}/panel?${query}`);
    if (!answer || !answer.ok) return;
    this.place(await answer.text(), { fresh: true });
    if (opens) this.openPanel();
    history.replaceState(null, "", `?show=${encodeURIComponent(this.shown)}`);
  }

  // A closed network is not the end: it is tried again until the server has it.
  async fetch(url, options = {}) {
    const { csrf } = this;
    for (let pause = 1000; ; pause = Math.min(pause * 2, 15000)) {
      try {
        return await fetch(url, { ...options, headers: { "X-CSRF": csrf, "HX-Request": "true" } });
      } catch {
        if (!this.isConnected) return null;
        this.saved("网络断开，还没有保存，正在重试…");
        await new Promise((done) => setTimeout(done, pause));
      }
    }
  }

  get csrf() { return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF"]; }

  place(html, { fresh, focus }) {
    const made = new DOMParser().parseFromString(html, "text/html");
    const panel = made.getElementById("board-panel");
    const here = document.activeElement;
    const held = focus || this.held(here);
    const inside = this.panel.contains(here);
    for (const id of PIECES) this.swap(made, id);
    if (fresh || panel.dataset.shown !== this.shown) {
      const isOpen = this.panel.hasAttribute("data-open");
      const isSame = panel.dataset.shown === this.shown;
      const top = this.panel.scrollTop;
      if (isSame) this.unfold(panel);
      const written = isSame ? this.written() : [];
      if (!isSame) this.typed = null;
      this.swap(made, "board-panel");
      for (const one of written) this.writeAgain(one);
      this.panel.toggleAttribute("data-open", isOpen);
      if (isSame) this.panel.scrollTop = top;
    } else {
      for (const notes of made.querySelectorAll("#board-panel .notes")) this.swap(made, notes.id);
      this.swapPreview(made);
    }
    this.sort();
    this.mark();
    const again = held && document.querySelector(held);
    if (again && again !== document.activeElement) {
      again.focus({ preventScroll: true });
      if (inside && here.selectionStart != null && again.value === here.value) again.setSelectionRange(here.selectionStart, here.selectionEnd);
    }
    else if (inside && !again) this.panel.focus({ preventScroll: true });
  }

  // What was written while an answer was under way, and where: it is newer than the answer.
  written() {
    return [...this.touched].filter((control) => control.isConnected && this.panel.contains(control)).map((control) => {
      const group = control.closest("[data-field]");
      const item = group.dataset.item ? `[data-item="${group.dataset.item}"]` : "";
      const index = [...group.querySelectorAll(`[name="${control.name}"]`)].indexOf(control);
      return { control, index, of: `[data-field="${group.dataset.field}"]${item} [name="${control.name}"]` };
    });
  }

  writeAgain({ control, index, of }) {
    const here = this.panel.querySelectorAll(of)[index];
    this.touched.delete(control);
    if (!here) return;
    if (control.type === "checkbox") here.checked = control.checked;
    else here.value = control.value;
    this.touched.add(here);
    if (this.typed === control) this.typed = here;
  }

  // What was folded open stays so, and what was closed.
  unfold(panel) {
    for (const old of this.panel.querySelectorAll("details[id]")) {
      const fold = panel.querySelector(`#${old.id}`);
      if (fold) fold.open = fold.open || old.open;
    }
  }

  swap(made, id) {
    const [fresh, old] = [made.getElementById(id), document.getElementById(id)];
    if (fresh && old) old.replaceWith(document.adoptNode(fresh));
  }

  // The field in which a customer is searched for stays as it is.
  swapPreview(made) {
    const [fresh, old] = [made.getElementById("board-preview"), document.getElementById("board-preview")];
    if (!fresh || !old || old.contains(document.activeElement)) return;
    old.replaceWith(document.adoptNode(fresh));
  }

  // How to find again what had the focus.
  held(here) {
    if (!here || !this.contains(here)) return "";
    if (here.id) return `#${here.id}`;
    const group = here.closest("[data-field]");
    const item = group && group.dataset.item ? `[data-item="${group.dataset.item}"]` : "";
    if (here.name) return `${group ? `[data-field="${group.dataset.field}"]${item} ` : ""}[name="${here.name}"]`;
    const { act, by, show } = here.dataset;
    if (act) return `#board-panel [data-act="${act}"]${by ? `[data-by="${by}"]` : ""}`;
    return show ? `[data-show="${show}"]` : "";
  }

  // What people do ---------------------------------------------------------------------------------------------------

  click(event) {
    const on = (selector) => event.target.closest(selector);
    let button;
    if ((button = on("[data-show]"))) {
      if (event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      // Opened by key (a click of no mouse): what was asked for is the next thing Tab reaches.
      this.show(button.dataset.show).then(() => event.detail || this.panel.focus({ preventScroll: true }));
    } else if ((button = on("[data-add]"))) this.ask(button);
    else if ((button = on("[data-kind]")) && on("dialog")) this.add(button.dataset.kind);
    else if ((button = on("[data-undo]"))) this.undo();
    else if ((button = on("[data-redo]"))) this.redo();
    else if ((button = on("[data-close-panel]"))) this.closePanel();
    else if ((button = on("[data-clear]"))) this.clear(button);
    else if ((button = on("[data-insert]"))) this.insert(button);
    else if ((button = on("[data-person]"))) this.choose(button.dataset.person);
    else if ((button = on("[data-drop-row]"))) this.dropRow(button);
    else if ((button = on("[data-put]"))) this.putButton(button);
    else if ((button = on("[data-run-tests]"))) this.runTests(button);
    else if ((button = on("[data-add-group]"))) this.addGroup(button);
    else if ((button = on("[data-act]"))) this.act(button);
  }

  act(button) {
    const { act, by, item, field, kindOf, of } = button.dataset;
    const values = [["at", of || this.form.dataset.at]];
    if (by) values.push(["by", by]);
    if (item) values.push(["item", item]);
    if (field) values.push(["field", field]);
    if (kindOf) values.push(["kind", kindOf]);
    this.flush();
    this.sendMove(act, values).then(() => act === "remove" && this.closePanel());
  }

  ask(button) {
    this.place_ = button.dataset;
    document.getElementById("board-kinds").showModal();
  }

  add(kind) {
    document.getElementById("board-kinds").close();
    const { to, index, day } = this.place_;
    this.flush();
    this.ahead = "";
    this.sendMove("add", [["kind", kind], ["to", to], ["index", index], ["day", day]]).then(() => {
      this.openPanel();
      const title = this.panel.querySelector("[name=title]");
      if (title) { title.focus(); title.select(); }
      this.typeAhead(title);
    });
  }

  // Who goes on typing at once names the step that is on its way.
  typeAhead(title) {
    const { ahead } = this;
    this.ahead = null;
    if (!ahead || !title) return;
    title.value = ahead;
    title.dispatchEvent(new Event("input", { bubbles: true }));
  }

  addGroup(button) {
    const group = button.closest("fieldset");
    this.send("add_item", [["at", this.form.dataset.at], ["field", button.dataset.addGroup], ...values_of(group)], { group });
  }

  clear(button) {
    const select = this.form.querySelector(`[name="${button.dataset.clear}"]`);
    select.value = "";
    this.put(select);
  }

  // A line of a group goes, and the group is saved without it.
  dropRow(button) {
    const group = button.closest("[data-field]");
    button.closest("[data-row]").remove();
    this.typed = null;
    this.send("put", this.said(group.querySelector("[name]")), { group });
  }

  putButton(button) {
    const { put, item, came } = button.dataset;
    this.flush();
    this.send("put", [["at", this.form.dataset.at], ["field", put], ["item", item], ["came", came]]);
  }

  change(event) {
    const control = event.target;
    if (control.matches("[data-channel]")) this.send("channel", [["at", this.form.dataset.at], ["channel", control.value]]);
    else if (control.matches("[data-move]") && control.value) this.moveTo(control.value);
    else if (control.matches("[data-add-item]") && control.value) {
      this.send("add_item", [["at", this.form.dataset.at], ["field", control.dataset.addItem], [control.dataset.name, control.value]]);
    } else if (control.matches("[data-attach]") && control.value) this.attach(control);
    else if (control.closest("[data-field]")) {
      // Keys go through a list one by one: only where they come to rest counts.
      if (control.matches("select") && Date.now() - (this.keyed || 0) < 200) this.later(control);
      else this.put(control);
    }
  }

  attach(control) {
    const [kind, value] = control.dataset.attach === "coupon" ? ["coupon", control.value] : control.value.split("|");
    this.send("add_item", [["at", this.form.dataset.at], ["field", "attachment"], ["item", control.dataset.item], ["kind", kind], ["value", value]]);
  }

  moveTo(value) {
    const [to, day] = value.split("|");
    this.flush();
    this.sendMove("move", [["at", this.form.dataset.at], ["to", to], ["day", day]]);
  }

  input(event) {
    const control = event.target;
    if (control.matches("[data-find-customer]")) { this.search(control); return; }
    if (!control.closest("[data-field]") || control.matches("select, [type=checkbox]")) return;
    if (control.matches("[data-grows]")) control.rows = Math.max(4, control.value.split("\n").length + 1);
    this.later(control);
  }

  later(control) {
    this.typed = control;
    this.touched.add(control);
    this.keep(this.said(control));
    this.saved("正在输入…");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), TYPING);
  }

  // What has been typed is sent before anything else is done.
  flush() {
    clearTimeout(this.timer);
    const control = this.typed;
    if (control && control.isConnected) this.put(control);
  }

  put(control) {
    clearTimeout(this.timer);
    this.typed = null;
    this.touched.add(control);
    const group = control.closest("[data-field]");
    const values = this.said(control);
    const fresh = control.hasAttribute("data-fresh") || (group.hasAttribute("data-fresh") && !control.matches("input:not([type=checkbox])"));
    this.send("put", values, { fresh, group });
  }

  // What the group of a control says, with the place that it is about.
  said(control) {
    const group = control.closest("[data-field]");
    const own = group.querySelector("[name='arm.at']");
    const values = [["at", own ? own.value : this.form.dataset.at], ["field", group.dataset.field], ...values_of(group)];
    if (group.dataset.item) values.push(["item", group.dataset.item]);
    return values;
  }

  // What is being typed outlives the page until it is saved.
  keep(values) {
    const place = `board-typed:${this.dataset.key}`;
    try {
      if (values) localStorage.setItem(place, JSON.stringify({ seen: this.text.dataset.seen, at: Date.now(), values }));
      else localStorage.removeItem(place);
    } catch { /* full or forbidden: what was saved is saved */ }
  }

  // The page was closed before the last words were saved: on the same text they are done now. Words of a moment ago are
  // done on any: what changed it since is what the closing page had sent of them, and that may still be on its way.
  makeUp() {
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(`board-typed:${this.dataset.key}`)); } catch { /* by another version of this page */ }
    if (!kept) return;
    const isFresh = Date.now() - kept.at < A_MOMENT;
    if (isFresh || kept.seen === this.text.dataset.seen) this.send("put", kept.values, { again: true });
    else this.keep(null);
  }

  key(event) {
    if (event.target.matches && event.target.matches("select")) this.keyed = Date.now();
    if (this.ahead != null && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.ahead += event.key;
      return;
    }
    const isTyping = event.target.closest && event.target.closest("input, textarea, select");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !isTyping) {
      event.preventDefault();
      event.shiftKey ? this.redo() : this.undo();
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const card = event.target.closest && event.target.closest(".board-slot");
      if (!card) return;
      event.preventDefault();
      const by = event.key === "ArrowUp" ? "-1" : "1";
      this.sendMove("shift", [["at", card.dataset.at], ["by", by]], { focus: "#board-story [aria-current] [data-show]" });
    } else if (event.key === "Escape" && this.panel.hasAttribute("data-open") && !document.querySelector("dialog[open]")) {
      this.closePanel();
    }
  }

  // Whoever goes on takes along what was just written.
  async link(event) {
    const link = event.target.closest && event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || !(this.waiting || this.typed)) return;
    event.preventDefault();
    this.flush();
    await this.queue;
    if (!this.waiting) location.assign(link.href);
  }

  insert(button) {
    const area = button.closest("[data-field]").querySelector("textarea");
    const fallback = "没有时说什么";
    const text = button.hasAttribute("data-fallback") ? `{{ ${button.dataset.insert} | 默认("${fallback}") }}` : `{{ ${button.dataset.insert} }}`;
    const start = area.selectionStart;
    area.setRangeText(text, start, area.selectionEnd, "end");
    area.focus();
    const at = text.indexOf(fallback);
    if (at > 0) area.setSelectionRange(start + at, start + at + fallback.length);
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Dragging -------------------------------------------------------------------------------------------------------------

  sort() {
    for (const list of this.querySelectorAll("[data-cards]")) {
      if (Sortable.get(list)) continue;
      Sortable.create(list, {
        group: "steps", handle: "[data-grip]", draggable: ".board-slot", animation: 120, forceFallback: true, fallbackOnBody: true,
        fallbackTolerance: 4, swapThreshold: 0.6, emptyInsertThreshold: 24, ghostClass: "ghost", dragClass: "dragged",
        onStart: () => this.toggleAttribute("data-dragging", true),
        onEnd: (event) => this.dropped(event),
      });
    }
  }

  dropped({ item, to, from, oldDraggableIndex, newDraggableIndex }) {
    this.toggleAttribute("data-dragging", false);
    if (to === from && oldDraggableIndex === newDraggableIndex) return;
    const series = to.closest("[data-series]");
    const home = item.dataset.at.slice(0, item.dataset.at.lastIndexOf("/"));
    const cards = [...series.querySelectorAll(".board-slot")].filter((card) => card.parentElement.closest("[data-series]") === series);
    // The server counts as before the move: what came before and is still in front is one further.
    let index = cards.indexOf(item);
    const old = Number(item.dataset.at.slice(item.dataset.at.lastIndexOf("/") + 1));
    if (home === series.dataset.series && old < index + 1) index += 1;
    if (home === series.dataset.series && index === old + 1) index = old;
    this.flush();
    this.sendMove("move", [["at", item.dataset.at], ["to", series.dataset.series], ["index", index], ["day", to.closest("[data-day]").dataset.day]]);
  }

  // Undo -----------------------------------------------------------------------------------------------------------------

  readStacks() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(`board:${this.dataset.key}`));
      if (kept && kept.now === this.text.dataset.seen) return kept;
    } catch { /* nothing kept, or by another version of this page */ }
    return { undo: [], redo: [] };
  }

  // A word that is typed in pieces is taken back as a whole.
  remember(before, what) {
    const isSame = what && this.last && this.last.what === what && Date.now() - this.last.at < 4000;
    this.last = what ? { what, at: Date.now() } : null;
    if (isSame) return;
    this.stacks.undo = [...this.stacks.undo, before].slice(-MOST_UNDO);
    this.stacks.redo = [];
  }

  undo() { this.restore("undo", "redo"); }
  redo() { this.restore("redo", "undo"); }

  async restore(from, to) {
    this.flush();
    await this.queue;
    const source = this.stacks[from].pop();
    if (source === undefined) return;
    this.stacks[to].push(this.text.value);
    this.last = null;
    await this.send("restore", [["source", source]]);
  }

  mark() {
    for (const name of ["undo", "redo"]) {
      const button = this.querySelector(`[data-${name}]`);
      if (button) button.disabled = !this.stacks[name].length;
    }
    try {
      sessionStorage.setItem(`board:${this.dataset.key}`, JSON.stringify({ ...this.stacks, now: this.text.dataset.seen }));
    } catch { /* the page's own store is full: undo lasts as long as the page */ }
  }

  // Telling --------------------------------------------------------------------------------------------------------------

  saved(words) {
    const place = this.querySelector("[data-saved]");
    if (place) place.textContent = words;
  }

  complain(group, words) {
    const place = (group && group.isConnected && group.querySelector(".notes")) || this.panel.querySelector(".panel-problem");
    const general = this.panel.querySelector(".panel-problem");
    if (general) general.hidden = true;
    if (!words || !place) return;
    if (place.matches(".panel-problem")) {
      place.textContent = words;
      place.hidden = false;
      return;
    }
    const line = document.createElement("p");
    line.className = "wrong";
    line.setAttribute("role", "alert");
    line.textContent = words;
    place.replaceChildren(line);
  }

  conflict(words) {
    const again = document.createElement("a");
    again.href = location.href;
    again.className = "button";
    again.textContent = "刷新";
    this.tell(document.getElementById("board-conflict"), words, again);
  }

  tell(place, words, act) {
    const text = document.createElement("span");
    text.textContent = words;
    place.hidden = false;
    place.replaceChildren(text, act);
    this.saved("没有保存");
    place.scrollIntoView({ block: "center" });
  }

  // Another one writes: this one may take it over, and what he just did is done then.
  locked(words, again) {
    const place = document.getElementById("board-conflict");
    const take = document.createElement("button");
    take.type = "button";
    take.className = "button";
    take.textContent = "接手来改";
    take.addEventListener("click", async () => {
      const answer = await this.fetch(`${this.of.replace(/board$/, "lock")}`, { method: "POST", body: new URLSearchParams() });
      if (!answer || !answer.ok) return;
      place.hidden = true;
      again();
    });
    this.tell(place, words, take);
  }

  openPanel() { this.panel.setAttribute("data-open", ""); }

  closePanel() {
    this.flush();
    this.panel.removeAttribute("data-open");
    const card = this.querySelector("#board-story [aria-current] [data-show], #board-story [data-show][aria-current]");
    if (card) card.focus({ preventScroll: true });
  }

  // The preview and the tests ----------------------------------------------------------------------------------------------

  search(control) {
    clearTimeout(this.searching);
    this.searching = setTimeout(async () => {
      const answer = await this.fetch(`${this.of}/customers?${new URLSearchParams({ q: control.value })}`);
      const found = document.getElementById("board-found");
      if (answer && answer.ok && found) {
        const made = new DOMParser().parseFromString(await answer.text(), "text/html");
        found.replaceChildren(...made.body.childNodes);
      }
    }, 250);
  }

  choose(person) {
    this.person = person;
    sessionStorage.setItem("board-person", person);
    this.show(this.shown, false);
  }

  async runTests(button) {
    this.flush();
    await this.queue;
    button.disabled = true;
    button.textContent = "正在跑…";
    const body = new URLSearchParams([["show", this.shown], ["person", this.person]]);
    const answer = await this.fetch(`${this.of}/tests`, { method: "POST", body });
    const html = answer ? await answer.text() : "";
    if (answer && answer.ok) this.place(html, { fresh: true });
    else {
      button.disabled = false;
      button.textContent = "跑一遍测试";
      this.complain(null, words(html));
    }
  }
}

function values_of(group) {
  const values = [];
  for (const control of group.querySelectorAll("[name]")) {
    if (control.matches("[type=checkbox]")) { if (control.checked) values.push([control.name, control.value]); }
    else if (control.matches("select[multiple]")) for (const option of control.selectedOptions) values.push([control.name, option.value]);
    else values.push([control.name, control.value]);
  }
  return values;
}

function words(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  return (page.querySelector(".notice-text") || page.body).textContent.trim().slice(0, 300) || "没有保存，请再试一次";
}

customElements.define("board-editor", BoardEditor);
