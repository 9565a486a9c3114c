// <tag-order>: groups of tags and the tags in them are sorted by dragging their ⠿, or by the arrow keys on it. WeCom has
// to take each move, so what is shown is always the server's answer.
import Sortable from "sortablejs";

const WAYS = { ArrowUp: "up", ArrowDown: "down" };

class TagOrder extends HTMLElement {
  connectedCallback() {
    this.turn = Promise.resolve();
    this.addEventListener("keydown", (event) => this.key(event));
    this.sort();
  }

  sort() {
    for (const grip of this.querySelectorAll(".grip")) grip.hidden = false;
    this.sortable(this, "[data-group]", "header .grip", "group");
    for (const rows of this.querySelectorAll("[data-group] tbody")) this.sortable(rows, "[data-tag]", ".grip", "tag");
  }

  sortable(list, draggable, handle, kind) {
    Sortable.create(list, {
      draggable, handle, animation: 120, forceFallback: true, fallbackOnBody: true, fallbackTolerance: 4, ghostClass: "ghost",
      onEnd: ({ item, oldIndex, newIndex }) => {
        if (oldIndex === newIndex) return;
        let next = item.nextElementSibling;
        while (next && !next.matches(draggable)) next = next.nextElementSibling;
        this.tell(item, "place", new URLSearchParams({ before: next ? next.dataset[kind] : "" }));
      },
    });
  }

  key(event) {
    const way = WAYS[event.key];
    if (!way || !event.target.matches(".grip")) return;
    event.preventDefault();
    this.tell(event.target.closest("[data-tag], [data-group]"), way);
  }

  // One after the other: the second arrow counts from where the first has led.
  tell(item, way, body = null) {
    const { tag, group } = item.dataset;
    const path = tag ? tag : `groups/${group}`;
    const mine = tag ? `[data-tag="${tag}"] .grip` : `[data-group="${group}"] header .grip`;
    this.turn = this.turn.then(() => this.move(`${this.dataset.base}/${path}/${way}`, body, mine));
  }

  async move(url, body, mine) {
    const headers = { Accept: "application/json", "HX-Request": "true", "X-CSRF": csrf() };
    let said = "";
    try {
      let answer = await fetch(url, { method: "POST", body, headers });
      if (!answer.ok) {
        said = (await answer.json()).error.message;
        answer = await fetch(this.dataset.base);
      }
      this.show(await answer.text());
    } catch {
      said = "网络断开，次序没有改。请刷新页面再试";
    }
    this.say(said || "次序已保存，企业微信里一样");
    this.querySelector(mine)?.focus();
  }

  show(html) {
    const made = new DOMParser().parseFromString(html, "text/html").querySelector("tag-order");
    if (made) this.replaceChildren(...made.childNodes);
    this.sort();
  }

  say(text) {
    this.querySelector("[data-said]").textContent = text;
  }
}

const csrf = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF"];

customElements.define("tag-order", TagOrder);
