// The filters above a list of customers: what is empty stays out of the address, and a phone folds them away.
class CustomerFilter extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form.narrowing");
    form.addEventListener("htmx:configRequest", (event) => {
      const given = event.detail.parameters;
      for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
      // Other customers are meant now: their page begins at the top.
      delete given.before;
      if (!given.tag) delete given.tagged;
    });
    form.querySelectorAll(".several").forEach(openSeveral);
    // One menu at a time; a click beside it closes it, and so does leaving it by key.
    const closeOthers = (inside) => form.querySelectorAll(".several details[open]").forEach((each) => each.contains(inside) || each.removeAttribute("open"));
    this.away = (event) => closeOthers(event.target);
    document.addEventListener("pointerdown", this.away);
    form.addEventListener("focusin", this.away);
    const fold = this.querySelector(".unfold");
    fold.addEventListener("click", () => {
      const isOpen = form.toggleAttribute("data-open");
      fold.setAttribute("aria-expanded", String(isOpen));
    });
  }

  disconnectedCallback() {
    document.removeEventListener("pointerdown", this.away);
  }
}
customElements.define("customer-filter", CustomerFilter);

// A choice of several: what is ticked stands above, a long list is searched, Esc closes it.
function openSeveral(field) {
  const menu = field.querySelector("details");
  const chosen = field.querySelector("[data-chosen]");
  const finder = field.querySelector("[data-finds]");
  menu.addEventListener("change", (event) => {
    if (event.target === finder) return event.stopPropagation();
    const ticked = [...menu.querySelectorAll("input[type=checkbox]:checked")];
    chosen.textContent = ticked.map((box) => box.parentElement.textContent.trim()).join("、") || "不限";
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === finder) event.preventDefault();
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  if (finder) finder.addEventListener("input", () => narrowChoices(menu, finder.value.trim().toLowerCase()));
}

function narrowChoices(menu, words) {
  menu.querySelectorAll(".several-menu > label").forEach((label) => (label.hidden = !label.textContent.toLowerCase().includes(words)));
  menu.querySelectorAll(".several-group").forEach((group) => (group.hidden = words !== ""));
}

// Which rows are ticked: a page, some of it, or (in the list) everybody whom the filters find.
class CustomerPicks extends HTMLElement {
  connectedCallback() {
    this.bar = this.querySelector(".picks-bar");
    if (!this.bar) return;
    this.everybody = this.querySelector('input[name="all"]');
    this.page = this.querySelector("[data-picks-page]");
    this.addEventListener("change", (event) => {
      if (event.target === this.page) this.boxes.forEach((box) => (box.checked = this.page.checked));
      this.meanAll(false);
    });
    this.addEventListener("click", (event) => {
      if (event.target.closest("[data-picks-all]")) {
        this.boxes.forEach((box) => (box.checked = true));
        this.meanAll(true);
      }
      if (event.target.closest("[data-picks-none]")) {
        this.boxes.forEach((box) => (box.checked = false));
        this.meanAll(false);
      }
    });
    this.meanAll(false);
  }

  get boxes() {
    return [...this.querySelectorAll('input[name="person"]')];
  }

  meanAll(isAll) {
    const picked = this.boxes.filter((box) => box.checked);
    if (this.everybody) {
      this.everybody.disabled = !isAll;
      this.everybody.value = isAll ? "1" : "";
    }
    this.bar.hidden = !picked.length;
    this.page.checked = picked.length > 0 && picked.length === this.boxes.length;
    this.page.indeterminate = picked.length > 0 && picked.length < this.boxes.length;
    const total = document.querySelector("#found .said b");
    const all = total ? total.textContent.replace(/^共 /, "") : "";
    this.querySelector("[data-picks-count]").textContent = isAll ? `已选筛选出的全部客户 ${all}` : `已选 ${picked.length} 位`;
    const more = this.querySelector("[data-picks-all]");
    if (more) more.hidden = isAll || picked.length < this.boxes.length;
  }
}
customElements.define("customer-picks", CustomerPicks);
