// <condition-builder data-base data-check>: a condition as rows and groups, by mouse and by keys, with its text beside.
// The first textarea in it holds the tree as JSON and fires `change` when the condition has changed; docs/segments.md
// says how a page embeds it. What is wrong is told by the server, at its place.
import Sortable from "sortablejs";

import { can_show, controls_of } from "./controls.js";
import { h, select } from "./elements.js";
import { open_menu, open_picker } from "./picker.js";
import * as trees from "./tree.js";

const PAUSE = 300;
const MOST_UNDO = 80;
const JOINTS = [["all", "同时满足"], ["any", "满足任意一条"]];
const KEYS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "out", ArrowRight: "in" };
const catalogues = new Map();

class ConditionBuilder extends HTMLElement {
  async connectedCallback() {
    if (this.root) return;
    [this.kept, this.text] = this.querySelectorAll("textarea");
    this.root = trees.read_tree(this.kept.value.trim() ? JSON.parse(this.kept.value) : null);
    this.said = this.kept.value;
    this.undone = { back: [], again: [] };
    this.titles = new Map();
    this.problems = new Map();
    this.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["input", "change"]) this.addEventListener(name, (event) => { if (event.target !== this.kept) event.stopPropagation(); });
    // Whoever goes on takes along what was just changed.
    this.addEventListener("focusout", (event) => { if (!this.contains(event.relatedTarget)) this.tell(); });
    this.catalogue = await catalogue_of(this.dataset.base);
    if (!this.isConnected) return;
    if (!this.catalogue) { this.prepend(h("p", { class: "wrong" }, "没有读到可选的条件，请刷新页面再试；也可以在下面写文字。")); return; }
    this.asks = new Map(this.catalogue.groups.flatMap((group) => group.asks).map((ask) => [ask.key, ask]));
    this.build();
    this.check();
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
    if (this.asked) this.asked.abort();
  }

  // Showing ------------------------------------------------------------------------------------------------------------

  build() {
    this.board = h("div", { class: "cond-board" });
    const act = (title, key, by) => h("button", { class: "button plain", type: "button", "aria-label": title, title: `${title}（${key}）`, onclick: () => this.undo(by) }, by === "back" ? "↶" : "↷");
    this.buttons = { back: act("撤销", "Ctrl+Z", "back"), again: act("重做", "Ctrl+Shift+Z", "again") };
    const parts = [this.buttons.back, this.buttons.again];
    if (this.text) {
      this.text.removeAttribute("name");
      this.pane = this.text.closest("[data-pane]");
      const is_open = localStorage.getItem("condition-text") === "1";
      this.pane.hidden = !is_open;
      const toggle = h("button", { class: "button plain", type: "button", "aria-pressed": String(is_open), "aria-controls": this.pane.id, onclick: () => this.toggle_text(toggle) }, "文字");
      parts.push(toggle);
      this.text.addEventListener("input", () => this.type());
    }
    this.tools = h("div", { class: "cond-tools" }, parts);
    this.prepend(this.tools, this.board);
    this.draw();
  }

  toggle_text(button) {
    this.pane.hidden = !this.pane.hidden;
    button.setAttribute("aria-pressed", String(!this.pane.hidden));
    localStorage.setItem("condition-text", this.pane.hidden ? "" : "1");
    if (!this.pane.hidden) this.text.focus();
  }

  draw(focus) {
    this.board.replaceChildren(this.group(this.root, true));
    this.buttons.back.disabled = !this.undone.back.length;
    this.buttons.again.disabled = !this.undone.again.length;
    this.sort();
    this.complain();
    const again = focus && this.board.querySelector(`[data-focus="${focus}"]`);
    if (again) again.focus();
  }

  group(node, is_root = false) {
    const joint = select("这些条件要", JOINTS, node.joint, (wanted) => { this.edit(() => { node.joint = wanted; node.is_loose = false; }, `${node.id}/joint`); });
    joint.dataset.focus = `${node.id}/joint`;
    const words = node.joint === "all" ? "同时满足" : "满足任意一条";
    const add = (title, act) => h("button", { class: "link", type: "button", "data-focus": `${node.id}/${title}`, onclick: act }, title);
    const head = h("div", { class: "cond-head" }, is_root ? null : grip(), this.not_button(node, is_root), joint, is_root ? null : this.menu_button(node));
    const list = h("div", { class: "cond-parts", "data-parts": node.id }, node.parts.map((part) => (part.parts ? this.group(part) : this.row(part))));
    const empty = node.parts.length ? null : h("p", { class: "hint cond-empty" }, is_root ? "还没有条件。" : "这一组是空的，谁也不会满足。");
    const foot = h("div", { class: "cond-foot" },
      add("＋ 条件", (event) => this.ask(event.currentTarget, (ask) => this.add(node, trees.make_leaf(trees.copy(ask.leaf))))),
      add("＋ 条件组", (event) => this.ask(event.currentTarget, (ask) => this.add(node, trees.make_group(node.joint === "all" ? "any" : "all", [trees.make_leaf(trees.copy(ask.leaf))])))));
    return h("div", { class: is_root ? "cond-group root" : "cond-group", role: "group", "aria-label": `${node.nots % 2 ? "除外：" : ""}${words}`, "data-id": node.id, "data-not": node.nots % 2 === 1 },
      head, list, empty, foot, h("div", { class: "notes", "data-notes": node.id }));
  }

  row(node) {
    const ask = this.ask_of(node.leaf);
    const of = {
      leaf: node.leaf, builder: this,
      set: (act) => this.edit(() => act(node.leaf)),
      redraw: () => this.draw(this.focused()),
    };
    const is_shown = ask && can_show(node.leaf, ask);
    const what = h("button", { class: "cond-what", type: "button", "aria-haspopup": "dialog", onclick: (event) => this.ask(event.currentTarget, (chosen) => {
      this.edit(() => { node.leaf = trees.copy(chosen.leaf); });
      this.draw(`${node.id}/0`);
    }) }, ask ? ask.title : "手写的条件");
    const shown = is_shown ? controls_of(of, ask) : [h("code", { class: "mono" }, JSON.stringify(node.leaf)), h("small", { class: "hint" }, "这一条请在“文字”里改")];
    const made = h("div", { class: "cond-row", role: "group", "aria-label": `条件：${ask ? ask.title : "手写"}`, "data-id": node.id, "data-not": node.nots % 2 === 1 },
      grip(), h("div", { class: "cond-body" }, this.not_button(node), what, shown), this.menu_button(node), h("div", { class: "notes", "data-notes": node.id }));
    made.querySelectorAll(".cond-body :is(button, input, select)").forEach((control, number) => { control.dataset.focus = `${node.id}/${number}`; });
    return made;
  }

  not_button(node, is_root = false) {
    if (is_root && !node.nots) return null;
    const is_not = node.nots % 2 === 1;
    const title = node.nots > 1 ? `除外 ×${node.nots}` : "除外";
    return h("button", { class: "cond-not", type: "button", "aria-pressed": String(is_not), "data-focus": `${node.id}/not`, title: "只要不满足这一条的客户", onclick: () => this.negate(node) }, title);
  }

  negate(node) {
    this.edit(() => { node.nots = node.nots ? 0 : 1; });
    this.draw(`${node.id}/not`);
  }

  menu_button(node) {
    const { parent, index } = trees.find(this.root, node.id);
    const is_top = parent === this.root;
    const act = (name) => () => this.act(name, node);
    const acts = [
      ["上移", act("up"), { key: "Alt ↑", is_off: is_top && index === 0 }],
      ["下移", act("down"), { key: "Alt ↓", is_off: is_top && index === parent.parts.length - 1 }],
      [index && parent.parts[index - 1].parts ? "放进上面一组" : "编成一组", act("in"), { key: "Alt →" }],
      ["移出这一组", act("out"), { key: "Alt ←", is_off: is_top }],
      ...(node.parts ? [["拆开这一组", act("ungroup"), { is_off: node.nots % 2 === 1 }]] : []),
      [node.nots ? "不再除外" : "除外（不满足这一条的客户）", () => this.negate(node), {}],
      ["复制", act("duplicate"), {}],
      ["删除", act("remove"), { key: "Alt Delete" }],
    ];
    const label = node.parts ? "这一组的操作" : "这一条的操作";
    return h("button", { class: "cond-more", type: "button", "aria-haspopup": "menu", "aria-label": label, "data-focus": `${node.id}/menu`, onclick: (event) => open_menu(event.currentTarget, label, acts) }, "⋯");
  }

  // What a leaf asks; events and fields that the catalogue does not list (own ones, archived ones) are shown as their like.
  ask_of(leaf) {
    if (leaf === null || typeof leaf !== "object") return null;
    const keys = ["field", "event", "flag"].filter((kind) => kind in leaf).map((kind) => `${kind}:${leaf[kind]}`);
    const known = [...keys, ...Object.keys(leaf)].map((key) => this.asks.get(key)).find(Boolean);
    if (known) return known;
    const { any_event, any_field } = this.catalogue;
    if (typeof leaf.event === "string") return { ...any_event, title: `自有事件 ${leaf.event}` };
    return typeof leaf.field === "string" ? { ...any_field, title: `字段 ${leaf.field}` } : null;
  }

  ask(opener, choose) {
    const matches = (ask, q) => `${ask.title} ${ask.key}`.toLowerCase().includes(q);
    open_picker(opener, {
      label: "条件",
      load: async (q) => this.catalogue.groups.map(({ title, asks }) => ({
        title, items: asks.filter((ask) => title.includes(q) || matches(ask, q.toLowerCase())).map((ask) => ({ value: ask.key, title: ask.title })),
      })),
      pick: (item) => choose(this.asks.get(item.value)),
    });
  }

  focused() {
    const here = document.activeElement;
    return this.contains(here) ? here.dataset.focus : null;
  }

  // Changing -----------------------------------------------------------------------------------------------------------

  add(group, node) {
    this.edit(() => { group.parts.push(node); });
    this.draw(`${node.parts ? node.parts[0].id : node.id}/1`);
  }

  act(name, node) {
    const { parent, index } = trees.find(this.root, node.id);
    const acts = { up: () => trees.shift(this.root, node.id, -1), down: () => trees.shift(this.root, node.id, 1), out: () => trees.take_out(this.root, node.id), in: () => trees.take_in(this.root, node.id), ungroup: () => trees.ungroup(this.root, node.id), duplicate: () => trees.duplicate(this.root, node.id), remove: () => trees.remove(this.root, node.id) };
    this.edit(acts[name]);
    const gone = name === "remove" || name === "ungroup";
    const near = gone ? parent.parts[Math.min(index, parent.parts.length - 1)] : node;
    this.draw(near ? `${near.id}/menu` : `${parent.id}/＋ 条件`);
  }

  // Keeps what was before, so that it can be taken back; words that are typed in pieces are one change.
  edit(act, focus) {
    const before = JSON.stringify(trees.write_tree(this.root));
    if (act() === false) return;
    const is_typing = document.activeElement && document.activeElement.matches("input") && this.contains(document.activeElement);
    const same = is_typing && this.typing === document.activeElement;
    this.typing = is_typing ? document.activeElement : null;
    if (!same) this.undone.back = [...this.undone.back, before].slice(-MOST_UNDO);
    this.undone.again = [];
    this.buttons.back.disabled = false;
    this.buttons.again.disabled = true;
    this.keep();
    if (focus) this.draw(focus);
  }

  undo(by) {
    const [from, to] = by === "back" ? [this.undone.back, this.undone.again] : [this.undone.again, this.undone.back];
    if (!from.length) return;
    to.push(JSON.stringify(trees.write_tree(this.root)));
    this.root = trees.read_tree(JSON.parse(from.pop()));
    this.typing = null;
    this.draw();
    this.keep();
    (this.buttons[by].disabled ? this.board.querySelector(".cond-foot button") : this.buttons[by]).focus();
  }

  // The tree is in the form at once; the page and the server are told when there is a pause.
  keep() {
    const tree = trees.write_tree(this.root);
    this.kept.value = tree === null ? "" : JSON.stringify(tree);
    if (this.text) this.text.removeAttribute("name");
    this.later(() => { this.tell(); this.check(); });
  }

  tell() {
    if (this.kept.value === this.said) return;
    this.said = this.kept.value;
    this.kept.dispatchEvent(new Event("change", { bubbles: true }));
  }

  type() {
    this.text.name = this.dataset.text;
    this.later(() => this.check(true));
  }

  later(act) {
    clearTimeout(this.timer);
    if (this.asked) this.asked.abort();
    this.timer = setTimeout(act, PAUSE);
  }

  key(event) {
    if (event.defaultPrevented) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.target.matches("input, textarea")) {
      event.preventDefault();
      event.stopPropagation();
      this.undo(event.shiftKey ? "again" : "back");
      return;
    }
    const item = event.target.closest("[data-id]");
    const name = event.altKey && (KEYS[event.key] || (event.key === "Delete" && "remove"));
    if (!name || !item || item.classList.contains("root")) return;
    event.preventDefault();
    event.stopPropagation();
    this.act(name, trees.find(this.root, Number(item.dataset.id)).node);
  }

  sort() {
    for (const list of this.board.querySelectorAll("[data-parts]")) {
      Sortable.create(list, {
        group: "conditions", handle: ".grip", animation: 120, forceFallback: true, fallbackOnBody: true, fallbackTolerance: 4,
        swapThreshold: 0.6, emptyInsertThreshold: 16, ghostClass: "ghost", dragClass: "dragged",
        onEnd: ({ item, to, oldIndex, newIndex, from }) => {
          const id = Number(item.dataset.id);
          // As put() counts: before anything has moved.
          const index = from === to && newIndex > oldIndex ? newIndex + 1 : newIndex;
          this.edit(() => trees.put(this.root, id, Number(to.dataset.parts), index));
          this.draw(`${id}/menu`);
        },
      });
    }
  }

  // The server's word --------------------------------------------------------------------------------------------------

  async check(by_text = false) {
    if (this.asked) this.asked.abort();
    const { signal } = (this.asked = new AbortController());
    const body = new URLSearchParams(by_text ? { text: this.text.value } : { tree: this.kept.value });
    const told = await this.tell_server(body, signal);
    if (!told) return;
    if (by_text && told.is_read) this.take(told.tree);
    else if (told.is_read && this.text && document.activeElement !== this.text) this.text.value = told.text;
    this.told = told.problems;
    this.complain();
    this.dispatchEvent(new CustomEvent("condition-checked", { bubbles: true, detail: told }));
    if (!told.is_estimate) return;
    body.set("exact", "1");
    const exact = await this.tell_server(body, signal);
    if (!exact) return;
    this.told = exact.problems;
    this.complain();
    if (exact.is_read) this.dispatchEvent(new CustomEvent("condition-checked", { bubbles: true, detail: exact }));
  }

  // Null when another question has taken this one's place.
  async tell_server(body, signal) {
    try {
      const answer = await fetch(this.dataset.check, { method: "POST", body, signal, headers: { "X-CSRF": csrf(), "HX-Request": "true" } });
      return answer.ok ? await answer.json() : { is_read: false, problems: [{ path: [], text: "没有检查成，请稍后再试" }] };
    } catch (error) {
      return error.name === "AbortError" ? null : { is_read: false, problems: [{ path: [], text: "网络断开，还没有检查" }] };
    }
  }

  // What was written as text stands in the form as the tree from now on.
  take(tree) {
    const before = JSON.stringify(trees.write_tree(this.root));
    if (JSON.stringify(tree) !== before) {
      this.undone = { back: [...this.undone.back, before].slice(-MOST_UNDO), again: [] };
      this.root = trees.read_tree(tree);
      this.draw();
    }
    this.kept.value = tree === null ? "" : JSON.stringify(tree);
    this.text.removeAttribute("name");
    this.tell();
  }

  complain() {
    const nodes = trees.places(this.root);
    this.querySelectorAll("[data-notes]").forEach((notes) => notes.replaceChildren());
    for (const { path, text } of this.told || []) {
      let at = path;
      while (at.length && !nodes.has(JSON.stringify(at))) at = at.slice(0, -1);
      const node = nodes.get(JSON.stringify(at)) || this.root;
      const notes = this.querySelector(`[data-notes="${node.id}"]`) || this.querySelector(`[data-notes="${this.root.id}"]`);
      notes.append(h("p", { class: "wrong" }, text));
    }
  }

  // Lists --------------------------------------------------------------------------------------------------------------

  async options(of, q) {
    return (await this.read(new URLSearchParams({ of, q })));
  }

  // What a value is called; those that are asked for at once go in one question.
  title(of, value) {
    const key = `${of}/${value}`;
    if (!this.titles.has(key)) {
      this.wanted = this.wanted || new Map();
      this.wanted.set(of, [...(this.wanted.get(of) || []), value]);
      this.naming = this.naming || Promise.resolve().then(() => this.name());
      this.titles.set(key, this.naming.then((named) => named.get(key)));
    }
    return this.titles.get(key);
  }

  async name() {
    const wanted = this.wanted;
    [this.wanted, this.naming] = [null, null];
    const named = new Map();
    for (const [of, values] of wanted) {
      const found = await this.read(new URLSearchParams([["of", of], ...values.map((value) => ["value", value])])).catch(() => []);
      for (const { value, title } of found) named.set(`${of}/${value}`, title);
    }
    return named;
  }

  async read(query) {
    const answer = await fetch(`${this.dataset.base}/options?${query}`, { headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error("options");
    return (await answer.json()).options;
  }
}

const grip = () => h("span", { class: "grip", "aria-hidden": "true", title: "拖动" }, "⠿");
const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF"];

function catalogue_of(base) {
  if (!catalogues.has(base)) {
    const read = fetch(`${base}/catalogue`, { headers: { "HX-Request": "true" } }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    catalogues.set(base, read);
  }
  return catalogues.get(base);
}

customElements.define("condition-builder", ConditionBuilder);
