// A form is sent once, however often its button is pressed. When the login turns out to be over, what somebody wrote
// comes back: the server's page leads to the login and from there, with ?unsent=1, to the form, which is filled in again.
const KEY = "unsent";
const ASKED = "unsent";
// A form that brings a file leaves its page where it is: after this many milliseconds it may be sent again.
const PAUSE = 5000;

const here = new URL(location.href);
const isAsked = here.searchParams.has(ASKED);
here.searchParams.delete(ASKED);
const address = here.pathname + here.search;
let sent = new WeakSet();

const forms = () => [...document.forms].filter((form) => form.getAttribute("method") === "post" || form.matches("[hx-post]"));
// Another one may log in at the same screen: what was written is not his to read.
const who = () => (document.querySelector(".who b") || {}).textContent;
const isSecret = (field) => field.name === "csrf" || field.type === "password" || field.type === "file";

// Until the next page: one that is no answer to a lost login forgets it.
export function keep(form) {
  const fields = [...new FormData(form)].filter(([name, value]) => typeof value === "string" && !isSecret(form.elements[name]));
  if (!fields.length) return;
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ who: who(), address, number: forms().indexOf(form), fields }));
  } catch (full) {
    // Nothing is lost yet: the page still has it.
  }
}

// Where the form is filled in again.
export function wayBack() {
  return `${address}${here.search ? "&" : "?"}${ASKED}=1`;
}

function fill(form, fields) {
  const left = new Map();
  for (const [name, value] of fields) left.set(name, [...(left.get(name) || []), value]);
  for (const field of form.elements) {
    const values = left.get(field.name) || [];
    if (!field.name || isSecret(field)) continue;
    const before = field.type === "checkbox" || field.type === "radio" ? field.checked : field.value;
    if (typeof before === "boolean") field.checked = values.includes(field.value);
    else if (values.length) field.value = values.shift();
    if (before === (typeof before === "boolean" ? field.checked : field.value)) continue;
    const folded = field.closest("details");
    if (folded) folded.open = true;
    for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
  }
}

function comeBack() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) || "null");
  sessionStorage.removeItem(KEY);
  if (!isAsked) return;
  history.replaceState(history.state, "", address);
  const form = kept && kept.who === who() && kept.address === address && forms()[kept.number];
  if (!form) return;
  fill(form, kept.fields);
  const told = document.createElement("p");
  told.className = "notice";
  told.setAttribute("role", "status");
  told.textContent = "刚才填的内容已经填回来了，还没有提交：检查一遍再提交。";
  form.before(told);
}

if (document.body.matches(".console")) {
  comeBack();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
    if (sent.has(form)) {
      event.preventDefault();
      return;
    }
    sent.add(form);
    setTimeout(() => sent.delete(form), PAUSE);
    keep(form);
  });
  // Back from the next page, the browser may show this one as it was left.
  addEventListener("pageshow", (event) => { if (event.persisted) sent = new WeakSet(); });
}
