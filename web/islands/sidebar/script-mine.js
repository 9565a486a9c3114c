// What a member keeps: a star on a script, a text of their own, what they edited as their own; and to delete it again.
import { _ } from "../texts.js";
import { forgetDraft } from "./drafts.js";
import { request } from "./request.js";
import { toast } from "./toast.js";

class ScriptMine extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act], [data-insert]");
      if (!button) return;
      if (button.dataset.insert) this.insert(button.dataset.insert);
      const act = { like: () => this.like(button), name: () => this.name(button), away: () => this.away(true) }[button.dataset.act];
      if (act) act();
    });
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save(event.target);
    });
  }

  async like(button) {
    const on = button.getAttribute("aria-pressed") !== "true";
    await this.during(async () => {
      await request("POST", `${this.path}/${this.script}/like`, { on });
      button.setAttribute("aria-pressed", String(on));
      toast(on ? _("已收藏") : _("已取消收藏"));
      this.shelf.refresh();
    });
  }

  name(button) {
    const form = this.querySelector('[data-part="name"]');
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) form.querySelector("input").select();
  }

  // From the form; or the text of the dialog around it, edited or not.
  async save(form) {
    const around = this.closest("send-script");
    const text = around ? around.querySelector("textarea").value : form.elements.text.value;
    const values = { title: form.elements.title.value, text, ...(around ? { of: this.script } : {}) };
    const isNew = around || !this.script;
    await this.during(async () => {
      await request("POST", isNew ? this.path : `${this.path}/${this.script}`, values);
      this.querySelectorAll("input, textarea").forEach(forgetDraft);
      this.end();
      toast(isNew ? _("已存到“我的”") : _("已保存"));
    });
  }

  async away(on) {
    const [shelf, path] = [this.shelf, `${this.path}/${this.script}/away`];
    await this.during(async () => {
      await request("POST", path, { on });
      this.end();
      toast(_("已删除"), {
        word: _("撤销"),
        act: async () => {
          await request("POST", path, { on: false });
          shelf.refresh();
        },
      });
    });
  }

  end() {
    this.dispatchEvent(new CustomEvent("script:done", { bubbles: true }));
  }

  insert(variable) {
    const area = this.querySelector("textarea");
    area.setRangeText(variable, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  }

  async during(act) {
    this.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (problem) {
      this.tell(problem.message);
    } finally {
      this.removeAttribute("aria-busy");
    }
  }

  tell(problem) {
    const box = this.querySelector('[data-part="problem"]');
    if (!box) return toast(problem);
    box.textContent = problem;
    box.hidden = false;
    return undefined;
  }

  get shelf() {
    return this.closest("script-shelf");
  }

  get script() {
    return this.getAttribute("script");
  }

  get path() {
    return `/sidebar/contacts/${encodeURIComponent(this.getAttribute("contact"))}/scripts`;
  }
}

customElements.define("script-mine", ScriptMine);
