// The controls of one leaf, as the catalogue describes them: each shows a piece of the leaf and writes it back.
// `of` is the row that they stand in: of.leaf, of.set(act) after which the tree is told anew, of.redraw(), of.builder.
import { h, select } from "./elements.js";
import { open_picker } from "./picker.js";

const ALONE = ["present", "missing"];
const LISTS = ["in", "not_in"];
const NUMBER = /^-?(0|[1-9]\d{0,14})(\.\d{1,6})?$/;
const SPAN = /^(\d{1,5})([dhms])$/;
const UNITS = [["d", "天"], ["h", "小时"], ["m", "分钟"], ["s", "秒"]];
const MONTHS = [["this", "本月"], ["next", "下月"], ...Array.from({ length: 12 }, (_, number) => [number + 1, `${number + 1} 月`])];

const CONTROLS = { compare, count, span, where, goods, pick, choice, number, texts, fact };

export const controls_of = (of, ask) => ask.controls.flatMap((control) => CONTROLS[control.control](of, control));

// Whether the controls can show the whole leaf; what they cannot is left as it was written.
export function can_show(leaf, ask) {
  if (leaf === null || typeof leaf !== "object" || Array.isArray(leaf)) return false;
  const heads = Object.keys(ask.leaf).filter((name) => !ask.controls.some((control) => (control.at || [])[0] === name));
  const by_controls = ask.controls.flatMap((control) => (control.at ? [control.at[0]] : ["field", "trigger", "op", "value"]));
  if (Object.keys(leaf).some((name) => !heads.includes(name) && !by_controls.includes(name))) return false;
  return ask.controls.every((control) => !control.at || fits(get(leaf, control.at), control)) && has_known_parts(leaf, ask);
}

function has_known_parts(leaf, ask) {
  const deep = ask.controls.filter((control) => control.at && control.at.length === 2);
  return deep.every(({ at: [name] }) => is_map(leaf[name]) && Object.keys(leaf[name]).every((key) => deep.some((control) => control.at[1] === key)));
}

const is_map = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const is_plain = (value) => ["string", "number", "boolean"].includes(typeof value);
const is_texts = (value) => is_plain(value) || (Array.isArray(value) && value.every(is_plain));

function fits(value, { control, names }) {
  if (value === undefined) return true;
  if (control === "count") return is_map(value) && Object.keys(value).length === 1;
  if (control === "where") return is_map(value) && Object.values(value).every(is_texts);
  if (control === "goods") return value === "any" || (is_map(value) && Object.entries(value).every(([key, each]) => names.some(([name]) => name === key) && is_texts(each)));
  return control === "texts" ? is_texts(value) : is_plain(value);
}

function get(leaf, at) {
  return at.reduce((found, name) => (is_map(found) ? found[name] : undefined), leaf);
}

function write(leaf, at, value) {
  const home = at.slice(0, -1).reduce((found, name) => (found[name] = found[name] || {}), leaf);
  if (value === undefined || value === null) delete home[at[at.length - 1]];
  else home[at[at.length - 1]] = value;
}

const setter = (of, at) => (value, redraws = false) => { of.set((leaf) => write(leaf, at, value)); if (redraws) of.redraw(); };
const listed = (value) => (Array.isArray(value) ? value : value === undefined || value === "" ? [] : [value]);
const as_typed = (text) => (NUMBER.test(text) ? Number(text) : text);

function text_input(label, value, change, { kind = "", unit = "", ...more } = {}) {
  const input = h("input", {
    type: "text", "aria-label": label, value: value === undefined || value === null ? "" : String(value), autocomplete: "off", class: kind,
    inputmode: kind === "num" ? "decimal" : null, oninput: (event) => change(event.target.value), ...more,
  });
  return unit ? h("span", { class: "cond-unit" }, input, unit) : input;
}

// Comparing a field --------------------------------------------------------------------------------------------------

function compare(of, control) {
  const op = of.leaf.op || "eq";
  const change_op = (wanted) => {
    of.set((leaf) => {
      leaf.op = wanted;
      const single = listed(leaf.value)[0];
      if (ALONE.includes(wanted)) delete leaf.value;
      else if (LISTS.includes(wanted)) leaf.value = listed(leaf.value);
      else if (wanted === "month") leaf.value = "this";
      else if (op === "month" || !("value" in leaf) || Array.isArray(leaf.value)) leaf.value = op === "month" || single === undefined ? control.usual : single;
    });
    of.redraw();
  };
  return [select("怎样比较", control.ops, op, change_op), ...value_of(of, control, op)];
}

function value_of(of, control, op) {
  const set = setter(of, ["value"]);
  if (ALONE.includes(op) || control.kind === "none") return [];
  if (op === "month") return [select("月份", MONTHS, of.leaf.value, set)];
  if (LISTS.includes(op)) return [tokens(of, { label: "值", values: listed(of.leaf.value), set, ...control })];
  if (control.choices) return [select("值", control.choices, of.leaf.value, set)];
  if (control.of) return [picked(of, { label: "值", of: control.of, value: of.leaf.value, set, may_type: true })];
  if (control.kind === "date") return date(of, of.leaf.value, set);
  if (control.kind === "moment") return [moment(of, of.leaf.value, set)];
  const is_number = control.kind === "number";
  const change = is_number || control.kind === "any" ? (text) => set(as_typed(text.trim())) : (text) => set(text);
  return [text_input("值", of.leaf.value, change, { kind: is_number ? "num" : "", unit: control.unit, placeholder: is_number ? "数字" : "值" })];
}

// A fixed day, or so many days from today.
function date(of, value, set) {
  const found = /^today\s*(?:([+-])\s*(\d{1,4})d)?$/.exec(value);
  const is_day = /^\d{4}-\d\d-\d\d$/.test(value);
  if (!found && !is_day && value) return [text_input("日期", value, set)];
  const mode = is_day || !value ? "day" : found[2] ? found[1] : "today";
  const today = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 10);
  const modes = [["day", "这一天"], ["today", "今天"], ["-", "几天前"], ["+", "几天后"]];
  const change = (wanted) => set({ day: today, today: "today" }[wanted] || `today${wanted}7d`, true);
  const parts = [select("哪一天", modes, mode, change)];
  if (mode === "day") parts.push(h("input", { type: "date", "aria-label": "日期", value: value || "", onchange: (event) => set(event.target.value) }));
  if (found && found[2]) parts.push(text_input("天数", found[2], (text) => set(`today${found[1]}${text.trim()}d`), { kind: "num", unit: "天" }));
  return parts;
}

// In the shop's own zone; one that was written in another is left as text.
function moment(of, value, set) {
  const { offset } = of.builder.catalogue;
  const text = String(value || "");
  if (text && !text.endsWith(offset)) return text_input("时间", text, set);
  return h("input", { type: "datetime-local", "aria-label": "时间", value: text.slice(0, 16), onchange: (event) => set(event.target.value && `${event.target.value}${offset}`) });
}

// Pieces of other leaves ---------------------------------------------------------------------------------------------

function count(of, { at, is_needed }) {
  const set = setter(of, at);
  const found = get(of.leaf, at);
  const [op, times] = found ? Object.entries(found)[0] : ["", 1];
  const is_never = op === "eq" && times === 0 && !is_needed;
  const words = Object.entries(of.builder.catalogue.counts);
  const modes = is_needed ? words : [["", "有过"], ["never", "没有过"], ...words];
  const change = (wanted) => set(wanted === "" ? undefined : wanted === "never" ? { eq: 0 } : { [wanted]: Math.max(times, 1) }, true);
  const chosen = select("次数", modes, is_never ? "never" : op, change);
  if (is_never || !op) return [chosen];
  return [chosen, text_input("几次", times, (text) => set({ [op]: as_typed(text.trim()) }), { kind: "num", unit: "次" })];
}

function span(of, { at, title, none }) {
  const set = setter(of, at);
  const value = get(of.leaf, at);
  const found = SPAN.exec(value);
  if (value !== undefined && !found) return [text_input(title, value, set)];
  const label = title === "多久之内" ? [["d", "天内"], ["h", "小时内"], ["m", "分钟内"], ["s", "秒内"]] : UNITS.map(([unit, word]) => [unit, `${word}内到期`]);
  const choices = none ? [[undefined, none], ...label] : label;
  const unit = select(title, choices, found ? found[2] : undefined, (wanted) => set(wanted && `${found ? found[1] : 30}${wanted}`, true));
  if (!found) return [unit];
  return [text_input(title, found[1], (text) => set(`${text.trim()}${found[2]}`), { kind: "num" }), unit];
}

function where(of, { at }) {
  const set = setter(of, at);
  const kept = get(of.leaf, at) || {};
  const change = (next, redraws) => set(Object.keys(next).length ? next : undefined, redraws);
  const rows = Object.entries(kept).map(([key, value], number) => {
    const rename = (text) => change(Object.fromEntries(Object.entries(kept_now()).map(([name, each], at_) => (at_ === number ? [text.trim(), each] : [name, each]))));
    const put = (values) => change({ ...kept_now(), [Object.keys(kept_now())[number]]: values.length === 1 ? values[0] : values });
    const drop = () => change(Object.fromEntries(Object.entries(kept_now()).filter((_, at_) => at_ !== number)), true);
    return h("span", { class: "cond-where" }, text_input("哪一项", key, rename, { placeholder: "如 channel" }), "是",
      tokens(of, { label: "值", values: listed(value), set: put }), remover("删除这一项", drop));
  });
  const kept_now = () => get(of.leaf, at) || {};
  const is_open = !("" in kept);
  return [...rows, h("button", { class: "link", type: "button", disabled: !is_open, onclick: () => change({ ...kept_now(), "": "" }, true) }, rows.length ? "＋ 再限一项" : "＋ 只算其中一部分")];
}

function goods(of, { at, names }) {
  const set = setter(of, at);
  const now = () => { const kept = get(of.leaf, at); return is_map(kept) ? kept : {}; };
  const kept = now();
  const change = (next, redraws) => set(Object.keys(next).length ? next : "any", redraws);
  const rows = Object.entries(kept).map(([key, value]) => {
    const { [key]: _, ...others } = kept;
    const title = names.find(([name]) => name === key)[1];
    return h("span", { class: "cond-where" }, title, tokens(of, { label: title, values: listed(value), set: (values) => change({ ...now(), [key]: values }) }), remover(`不限${title}`, () => change(others, true)));
  });
  const left = names.filter(([name]) => !(name in kept));
  const add = select("限定商品", [["", rows.length ? "＋ 再限定" : "任何商品"], ...left], "", (name) => name && change({ ...now(), [name]: "" }, true));
  return [...rows, left.length ? add : null];
}

function pick(of, { at, of: list, title, none }) {
  return [picked(of, { label: title, of: list, value: get(of.leaf, at), set: setter(of, at), none, may_type: list === "tag" })];
}

function choice(of, { at, title, choices }) {
  const value = get(of.leaf, at);
  return [select(title, choices, value === undefined ? choices.some(([each]) => each === null) ? null : undefined : value, setter(of, at))];
}

function number(of, { at, title, unit, before }) {
  const set = setter(of, at);
  return [before, text_input(title, get(of.leaf, at), (text) => set(as_typed(text.trim())), { kind: "num", unit })];
}

function texts(of, { at, title, none }) {
  const set = setter(of, at);
  return [tokens(of, { label: title, values: listed(get(of.leaf, at)), set: (values) => set(values.length ? values : undefined), nothing: none })];
}

function fact(of, { ops, names, usual }) {
  const set_name = setter(of, ["trigger"]);
  const [op_control, ...values] = compare(of, { ops, usual, kind: "any" });
  return [picked(of, { label: "触发事件里的一项", value: of.leaf.trigger, set: set_name, choices: names, may_type: true }), op_control, ...values];
}

// What is picked -----------------------------------------------------------------------------------------------------

function remover(label, act) {
  return h("button", { class: "cond-remove", type: "button", "aria-label": label, title: label, onclick: act }, "✕");
}

function loader(of, { of: list, choices }) {
  return async (q) => {
    const fixed = (choices || []).filter(([value, title]) => `${title} ${value}`.toLowerCase().includes(q.toLowerCase()));
    const found = list ? await of.builder.options(list, q) : fixed.map(([value, title]) => ({ value, title }));
    return [{ title: "", items: found.map(({ value, title }) => item_of(list, value, title)) }];
  };
}

// Tags are called by their names: beside them stands their group.
const item_of = (list, value, title) => (list === "tag" ? { value, title: value, note: title } : { value, title: title || String(value), note: title && title !== value ? String(value) : "" });

function titled(of, { of: list, choices }, value) {
  const shown = h("span", {}, String(value));
  const named = (choices || []).find(([each]) => each === value);
  if (named) shown.textContent = named[1];
  else if (list && list !== "tag") of.builder.title(list, value).then((title) => { if (title) shown.textContent = title; });
  return shown;
}

function picked(of, { label, value, set, none, may_type, ...source }) {
  const is_empty = value === undefined || value === "";
  const shown = is_empty ? h("span", { class: "quiet" }, none || `选择${label}`) : titled(of, source, value);
  const nothing = none ? [{ title: "", items: [{ value: undefined, title: none }] }] : [];
  const open = (event) => open_picker(event.currentTarget, {
    label, may_type,
    load: async (q) => [...(q ? [] : nothing), ...await loader(of, source)(q)],
    pick: (item) => set(item.value, true),
  });
  return h("button", { class: "cond-pick", type: "button", "aria-haspopup": "dialog", "aria-label": `${label}：${is_empty ? none || "未选" : shown.textContent}`, onclick: open }, shown);
}

// Several values: picked from a list, or typed one after the other.
function tokens(of, { label, values, set, kind, nothing, ...source }) {
  let kept = [...values];
  const box = h("span", { class: "cond-tokens", role: "group", "aria-label": label });
  const is_picked = Boolean(source.of || source.choices);
  const tell = () => { set(kept); draw(); };
  const add = (text) => {
    const typed = text.split(/[,，、]/).map((each) => each.trim()).filter(Boolean).map((each) => (kind === "number" || kind === "any" ? as_typed(each) : each));
    kept = [...new Set([...kept, ...typed])];
    set(kept);
  };
  const draw = () => {
    const shown = kept.map((value, number) => h("span", { class: "cond-token" }, titled(of, source, value),
      remover(`去掉 ${value}`, () => { kept.splice(number, 1); tell(); })));
    box.replaceChildren(...shown, is_picked ? adder() : input());
  };
  const adder = () => h("button", { class: "link", type: "button", "aria-haspopup": "dialog", onclick: (event) => {
    const chosen = new Set(kept);
    open_picker(event.currentTarget, { label, chosen, may_type: Boolean(source.of), load: loader(of, source), pick: (item) => {
      kept = kept.includes(item.value) ? kept.filter((each) => each !== item.value) : [...kept, item.value];
      tell();
    } });
  } }, kept.length ? "＋" : "＋ 选择");
  // What is typed counts at once; it becomes a token at Enter, at a comma, and when the field is left.
  const input = () => {
    const field = h("input", { type: "text", "aria-label": `${label}，几个用逗号隔开`, autocomplete: "off", placeholder: kept.length ? "" : nothing || "几个用逗号隔开" });
    let before = [...kept];
    const settle = (event) => { if (!field.value.trim()) return; kept = before; add(field.value); draw(); if (event.type === "keydown") box.querySelector("input").focus(); };
    field.addEventListener("input", () => { kept = before; add(field.value); });
    field.addEventListener("change", settle);
    field.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === "," || event.key === "，") && !event.isComposing) { event.preventDefault(); settle(event); }
      else if (event.key === "Backspace" && !field.value && before.length) { kept = before.slice(0, -1); tell(); box.querySelector("input").focus(); }
    });
    return field;
  };
  draw();
  return box;
}
