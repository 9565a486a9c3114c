// <week-editor>: a channel's shifts painted on a week of hours, by mouse, finger or keys. It keeps nothing of its own:
// what it shows is read from the form's rows, and what is painted is written into them.
const DAY = 1440, HALF = 30, MOST_ROWS = 20;
const NAMES = "一二三四五六日";
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const EDGES = { ",": ["start", -HALF], ".": ["start", HALF], "-": ["end", -HALF], "+": ["end", HALF], "=": ["end", HALF] };

class WeekEditor extends HTMLElement {
  connectedCallback() {
    this.form = this.closest("form");
    this.past = [];
    this.build();
    for (const slot of this.slots()) slot.open = false;
    this.show();
    this.form.addEventListener("change", () => this.show());
    this.grid.addEventListener("pointerdown", (event) => this.press(event));
    this.grid.addEventListener("pointermove", (event) => this.drag && this.pull(event));
    this.grid.addEventListener("pointerup", (event) => this.drag && this.drop(event));
    this.grid.addEventListener("pointercancel", () => this.letGo());
    this.grid.addEventListener("keydown", (event) => this.key(event));
  }

  build() {
    const who = this.slots().at(-1).querySelector(".picks").parentNode.querySelectorAll(":scope > .picks");
    const picks = node("div", "week-who");
    for (const list of who) picks.append(withoutNames(list.cloneNode(true)));
    this.chosen = picks;
    this.grid = node("div", "week-grid", { role: "grid", "aria-label": "一周排班" });
    const head = node("div", "week-head", { "aria-hidden": "true" });
    for (const hour of [0, 6, 12, 18, 24]) head.append(node("span", "", {}, `${hour}:00`));
    this.rows = [...NAMES].map((name, day) => this.row(name, day));
    this.grid.append(head, ...this.rows.map((hours) => hours.parentNode));
    this.says = node("p", "hint", { role: "status" });
    this.back = node("button", "button", { type: "button", disabled: "" }, "撤销");
    this.back.addEventListener("click", () => this.undo());
    const legend = node("p", "hint", {}, "选好员工，在格子上拖出时间；拖时段两边改时间，点时段去掉这一天。键盘：方向键移动，Shift 加方向键选一片，回车画上，Delete 去掉，- 和 + 改结束，, 和 . 改开始。");
    const fold = node("details", "");
    fold.append(node("summary", "", {}, "画给谁（不选就是上面的接待员工）"), picks);
    const foot = node("div", "week-foot");
    foot.append(this.says, this.back);
    this.append(fold, this.grid, foot, legend);
    this.cell(0, 9).tabIndex = 0;
  }

  row(name, day) {
    const row = node("div", "week-row", { role: "row" });
    const hours = node("div", "week-hours", { role: "presentation" });
    for (let hour = 0; hour < 24; hour++) hours.append(node("span", "week-cell", { role: "gridcell", tabindex: "-1", "data-day": day, "data-hour": hour }));
    row.append(node("span", "week-name", { role: "rowheader" }, name), hours);
    return hours;
  }

  // The rows of the form.
  slots() { return [...this.form.querySelectorAll("[data-shift]")]; }

  shifts() { return this.slots().map(read).filter((shift) => shift.who.length); }

  show() {
    this.spare();
    for (const block of this.grid.querySelectorAll(".week-shift")) block.remove();
    const shifts = this.shifts();
    shifts.forEach((shift, index) => retitle(shift, index + 1));
    const free = this.slots().filter((slot) => !read(slot).who.length);
    for (const slot of this.slots()) slot.hidden = free.indexOf(slot) > 0;
    for (const slot of free) slot.querySelector("summary").textContent = "加一个排班时段";
    this.pieces = shifts.flatMap(pieces);
    for (let day = 0; day < 7; day++) this.showDay(day, this.pieces.filter((piece) => piece.day === day));
  }

  showDay(day, found) {
    const lanes = [];
    for (const piece of found.sort((one, other) => one.from - other.from)) {
      const lane = lanes.findIndex((until) => until <= piece.from);
      piece.lane = lane < 0 ? lanes.length : lane;
      lanes[piece.lane] = piece.until;
    }
    for (const piece of found) this.rows[day].append(block(piece, lanes.length));
    for (let hour = 0; hour < 24; hour++) {
      const here = found.filter((piece) => piece.from < hour * 60 + 60 && hour * 60 < piece.until);
      this.cell(day, hour).setAttribute("aria-label", `周${NAMES[day]} ${hour} 点，${here.map((piece) => people(piece.shift)).join("；") || "没人当班"}`);
    }
  }

  // There is always one empty row to fill in by hand.
  spare() {
    const slots = this.slots();
    if (slots.length >= MOST_ROWS || slots.some((slot) => !read(slot).who.length)) return;
    const made = slots.at(-1).cloneNode(true);
    for (const input of made.querySelectorAll("input")) input.name = input.name.replace(/^shift\d+/, `shift${slots.length}`);
    empty(made);
    slots.at(-1).after(made);
  }

  // What is done to a shift; each act can be taken back.
  act(change, said) {
    const before = this.slots().map((slot) => [...slot.querySelectorAll("input")].map((input) => [input.checked, input.value]));
    if (change() === false) return;
    this.past.push(before);
    this.tell(said);
  }

  tell(said) {
    this.back.disabled = !this.past.length;
    this.says.textContent = said;
    this.slots()[0].dispatchEvent(new Event("change", { bubbles: true }));
  }

  undo() {
    const before = this.past.pop();
    if (!before) return;
    this.slots().forEach((slot, index) => {
      if (!before[index]) return empty(slot);
      slot.querySelectorAll("input").forEach((input, place) => ([input.checked, input.value] = before[index][place]));
    });
    this.tell("已撤销，保存后生效");
  }

  add(days, start, end) {
    const who = this.people();
    if (!who.length) return void (this.says.textContent = "还没有选员工：先在“画给谁”或上面的接待员工里选");
    const same = this.shifts().find((shift) => shift.start === start && shift.end === end && shift.who.map(key).sort().join() === who.sort().join());
    const slot = same ? same.slot : this.slots().find((each) => !read(each).who.length);
    if (!slot) return void (this.says.textContent = `最多 ${MOST_ROWS} 个时段，先去掉一个再画`);
    this.act(() => {
      write(slot, same ? [...same.days, ...days] : days, start, end);
      for (const input of members(slot)) input.checked = who.includes(key(input));
    }, `已排 ${spoken(days)} ${clock(start)}–${clock(end)}，保存后生效`);
  }

  people() {
    const mine = [...this.chosen.querySelectorAll(":checked")].map(key);
    const own = [...this.form.querySelectorAll("[name=userid]:checked, [name=party]:checked")].map(key);
    return mine.length ? mine : own;
  }

  remove({ shift, from }, day) {
    // What stands after midnight belongs to the day before.
    const owner = from === 0 && shift.end > DAY && !starts(shift, day) ? (day + 6) % 7 : day;
    const days = shift.days.filter((each) => each !== owner);
    this.act(() => (days.length ? write(shift.slot, days, shift.start, shift.end) : empty(shift.slot)), `已去掉 周${NAMES[owner]} ${clock(shift.start)}–${clock(shift.end)}，保存后生效`);
  }

  resize(shift, edge, minute) {
    let { start, end } = shift;
    if (edge === "start") start = between(0, minute, Math.min(end, DAY) - HALF);
    else end = between(start + HALF, minute, start + DAY);
    if (end - start > DAY) end = start + DAY;
    this.act(() => (start === shift.start && end === shift.end ? false : write(shift.slot, shift.days, start, end)), `改为 ${clock(start)}–${clock(end)}，保存后生效`);
  }

  // Mouse and finger.
  press(event) {
    if (event.button || !event.target.closest(".week-hours")) return;
    const held = event.target.closest(".week-shift");
    const piece = held && this.pieces.find((each) => each.block === held);
    this.drag = { at: this.at(event), x: event.clientX, y: event.clientY, piece, edge: event.target.dataset.edge, moved: false };
    this.grid.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") event.preventDefault();
  }

  pull(event) {
    this.drag.moved ||= Math.hypot(event.clientX - this.drag.x, event.clientY - this.drag.y) > 4;
    if (!this.drag.moved || this.drag.edge) return;
    const { days, start, end } = area(this.drag.at, this.at(event));
    this.mark(days, start, end);
  }

  drop(event) {
    const { at, piece, edge, moved } = this.drag;
    const here = this.at(event);
    this.letGo();
    if (edge && moved) return this.resize(piece.shift, edge, this.reached(piece, edge, here));
    if (!moved && piece) return this.remove(piece, piece.day);
    const { days, start, end } = area(at, moved ? here : at);
    this.add(days, start, end);
  }

  // Minutes since the day on which the shift begins: an edge pulled to the next day's row goes over midnight.
  reached(piece, edge, { day, minute }) {
    const begins = piece.over ? piece.day - 1 : piece.day;
    const snapped = Math.round(minute / HALF) * HALF;
    return edge === "start" ? snapped : snapped + Math.max(0, day - begins) * DAY;
  }

  letGo() {
    this.drag = null;
    this.mark([], 0, 0);
  }

  at({ clientX, clientY }) {
    const boxes = this.rows.map((row) => row.getBoundingClientRect());
    const day = boxes.findIndex((box) => clientY < box.bottom);
    const box = boxes[0];
    return { day: day < 0 ? 6 : day, minute: between(0, ((clientX - box.left) / box.width) * DAY, DAY) };
  }

  mark(days, start, end) {
    for (const cell of this.grid.querySelectorAll(".week-cell")) {
      const minute = cell.dataset.hour * 60;
      cell.toggleAttribute("data-marked", days.includes(Number(cell.dataset.day)) && start <= minute && minute < end);
    }
  }

  // Keys, on the cell that has the focus.
  key(event) {
    const cell = event.target.closest(".week-cell");
    if (!cell) return;
    const here = { day: Number(cell.dataset.day), hour: Number(cell.dataset.hour) };
    if (!this.stroke(event, here)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  stroke(event, here) {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") return this.undo(), true;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (STEPS[event.key]) return this.step(here, STEPS[event.key], event.shiftKey), true;
    const piece = this.pieces.findLast((each) => each.day === here.day && each.from < here.hour * 60 + 60 && here.hour * 60 < each.until);
    if (event.key === "Enter" || event.key === " ") {
      const { days, start, end } = area(spot(this.anchor ?? here), spot(here));
      this.anchor = null;
      this.mark([], 0, 0);
      this.add(days, start, end);
    } else if (event.key === "Escape" && this.anchor) this.anchor = this.mark([], 0, 0) ?? null;
    else if (piece && (event.key === "Delete" || event.key === "Backspace")) this.remove(piece, here.day);
    else if (piece && EDGES[event.key]) this.resize(piece.shift, EDGES[event.key][0], piece.shift[EDGES[event.key][0]] + EDGES[event.key][1]);
    else return event.key === "Enter" || event.key === "Backspace";
    return true;
  }

  step(here, [days, hours], extends_) {
    const next = { day: between(0, here.day + days, 6), hour: between(0, here.hour + hours, 23) };
    this.anchor = extends_ ? (this.anchor ?? here) : null;
    const { days: marked, start, end } = this.anchor ? area(spot(this.anchor), spot(next)) : { days: [], start: 0, end: 0 };
    this.mark(marked, start, end);
    this.cell(here.day, here.hour).tabIndex = -1;
    this.cell(next.day, next.hour).tabIndex = 0;
    this.cell(next.day, next.hour).focus();
  }

  cell(day, hour) { return this.rows[day].children[hour]; }
}

const between = (least, value, most) => Math.max(least, Math.min(value, most));
const clock = (minute) => (minute === DAY ? "24:00" : `${String(Math.floor((minute % DAY) / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`);
const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5));
const members = (slot) => [...slot.querySelectorAll(".picks input")];
const key = (input) => `${(input.dataset.field ?? input.name).endsWith("party") ? "p" : "u"}${input.value.toLowerCase()}`;
// The middle of an hour, so that it counts whichever way the cells were walked.
const spot = ({ day, hour }) => ({ day, minute: hour * 60 + HALF });
const spoken = (days) => (days.length === 7 ? "每天" : `周${days.map((day) => NAMES[day]).join("、")}`);
const people = (shift) => shift.who.map((input) => input.parentNode.textContent.trim()).join("、");
const starts = (shift, day) => shift.start === 0 && shift.days.includes(day);

function read(slot) {
  const field = (name) => slot.querySelector(`[name$="_${name}"]`).value;
  const ticked = [...slot.querySelectorAll('[name$="_day"]:checked')].map((input) => Number(input.value));
  const start = field("start") ? minutes(field("start")) : 0;
  const end = field("end") ? minutes(field("end")) : DAY;
  return { slot, start, end: end <= start ? end + DAY : end, days: ticked.length ? ticked : [0, 1, 2, 3, 4, 5, 6], who: members(slot).filter((input) => input.checked) };
}

function write(slot, days, start, end) {
  for (const input of slot.querySelectorAll('[name$="_day"]')) input.checked = days.includes(Number(input.value));
  slot.querySelector('[name$="_start"]').value = clock(start);
  slot.querySelector('[name$="_end"]').value = end % DAY ? clock(end) : "";
}

function empty(slot) {
  for (const input of members(slot)) input.checked = false;
  for (const input of slot.querySelectorAll('[name$="_day"]')) input.checked = true;
  for (const input of slot.querySelectorAll("[type=time]")) input.value = "";
  slot.open = false;
}

function retitle(shift, number) {
  const days = shift.days.length < 7 ? `${shift.days.map((day) => NAMES[day]).join("")} ` : "";
  shift.slot.querySelector("summary").textContent = `时段 ${number}：${days}${clock(shift.start)}–${clock(shift.end)}，${people(shift)}`;
}

// A shift on the days it stands on; one that goes over midnight on the next day too.
function pieces(shift) {
  return shift.days.flatMap((day) => [
    { shift, day, from: shift.start, until: Math.min(shift.end, DAY), over: false },
    ...(shift.end > DAY ? [{ shift, day: (day + 1) % 7, from: 0, until: shift.end - DAY, over: true }] : []),
  ]);
}

function block(piece, lanes) {
  const { shift, from, until, lane } = piece;
  const made = node("div", "week-shift", { title: `${clock(shift.start)}–${clock(shift.end)} ${people(shift)}`, "aria-hidden": "true" });
  made.append(node("span", "", {}, people(shift)));
  if (!piece.over) made.append(node("i", "", { "data-edge": "start" }));
  if (piece.over || shift.end <= DAY) made.append(node("i", "", { "data-edge": "end" }));
  Object.assign(made.style, { left: `${(from / DAY) * 100}%`, width: `${((until - from) / DAY) * 100}%`, top: `${(lane / lanes) * 100}%`, height: `${100 / lanes}%` });
  piece.block = made;
  return made;
}

// Whole hours and days between two places.
function area(one, other) {
  const [first, last] = [one.day, other.day].sort((a, b) => a - b);
  const [from, until] = [one.minute, other.minute].sort((a, b) => a - b);
  const start = Math.min(Math.floor(from / 60), 23) * 60;
  const days = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return { days, start, end: Math.max(Math.ceil(until / 60) * 60, start + 60) };
}

function withoutNames(list) {
  for (const input of list.querySelectorAll("input")) {
    input.dataset.field = input.name;
    input.removeAttribute("name");
    input.checked = false;
  }
  return list;
}

function node(tag, name, attributes = {}, text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

customElements.define("week-editor", WeekEditor);
