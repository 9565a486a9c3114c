// <attachment-order>: what goes with a broadcast, in the order it is sent: sorted by dragging a ⠿ or by ↑ ↓ on it. It
// shows what the form has at the moment; the server reads the hidden fields from top to bottom.
import Sortable from "sortablejs";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const STEPS = { ArrowUp: -1, ArrowDown: 1 };

class AttachmentOrder extends HTMLElement {
  connectedCallback() {
    this.form = this.closest("form");
    this.list = this.querySelector("ol");
    this.order = [...this.querySelectorAll('input[name="order"]')].map((input) => input.value);
    this.list.replaceChildren();
    // Before anybody else hears of a change, so that whoever reads the form reads this order too.
    // Dragging tells of changes in here too: those are already what is shown.
    const heard = ({ target }) => this.contains(target) || this.sync();
    for (const name of ["input", "change"]) this.form.addEventListener(name, heard, true);
    this.addEventListener("keydown", (event) => this.key(event));
    Sortable.create(this.list, {
      handle: ".grip", animation: still.matches ? 0 : 120, forceFallback: true, fallbackTolerance: 4, ghostClass: "ghost",
      onEnd: ({ item, oldIndex, newIndex }) => {
        if (oldIndex !== newIndex) this.moved(item);
      },
    });
    this.sync();
  }

  // What the form has: key and name of each.
  found() {
    const value = (name) => this.form.elements[name].value.trim();
    const files = [...this.form.querySelectorAll('input[name="media"]:checked')];
    const found = new Map(files.map((box) => [box.value, box.parentElement.querySelector(".media-name").textContent]));
    if (value("link_title") || value("link_url")) found.set("link", `链接：${value("link_title") || value("link_url")}`);
    if (["title", "appid", "page"].some((part) => value(`program_${part}`))) {
      found.set("miniprogram", `小程序：${value("program_title") || "还没有标题"}`);
    }
    return found;
  }

  sync() {
    const found = this.found();
    this.order = [...new Set([...this.order, ...found.keys()])].filter((key) => found.has(key));
    const shown = [...this.list.children];
    if (this.order.join() !== shown.map((row) => row.dataset.key).join()) {
      const known = new Map(shown.map((row) => [row.dataset.key, row]));
      this.list.replaceChildren(...this.order.map((key) => known.get(key) ?? this.row(key)));
    }
    for (const row of this.list.children) {
      const name = found.get(row.dataset.key);
      row.querySelector("span").textContent = name;
      row.querySelector(".grip").setAttribute("aria-label", `排序：${name}`);
    }
    this.hidden = this.order.length < 2;
  }

  row(key) {
    const row = this.querySelector("template").content.firstElementChild.cloneNode(true);
    row.dataset.key = key;
    row.querySelector("input").value = key;
    return row;
  }

  key(event) {
    const step = STEPS[event.key];
    if (!step || !event.target.matches(".grip")) return;
    event.preventDefault();
    const row = event.target.closest("li");
    const other = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!other) return;
    if (step < 0) other.before(row);
    else other.after(row);
    event.target.focus();
    this.moved(row);
  }

  moved(row) {
    const rows = [...this.list.children];
    this.order = rows.map((each) => each.dataset.key);
    const said = `${row.querySelector("span").textContent} 现在第 ${rows.indexOf(row) + 1} 个发`;
    this.querySelector("[role=status]").textContent = said;
    this.dispatchEvent(new Event("change", { bubbles: true }));
  }
}

customElements.define("attachment-order", AttachmentOrder);
