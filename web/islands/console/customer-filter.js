// The filters above a list of customers: what is empty stays out of the address, and a phone folds them away.
class CustomerFilter extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form.narrowing");
    form.addEventListener("htmx:configRequest", (event) => {
      const given = event.detail.parameters;
      for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
      // Other customers are meant now: their page begins at the top.
      delete given.before;
    });
    const fold = this.querySelector(".unfold");
    fold.addEventListener("click", () => {
      const isOpen = form.toggleAttribute("data-open");
      fold.setAttribute("aria-expanded", String(isOpen));
    });
  }
}
customElements.define("customer-filter", CustomerFilter);

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
