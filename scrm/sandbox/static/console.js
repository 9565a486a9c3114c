// Fault switches and logs.
import { act, follow, refresh, toast } from "./api.js";

const screen = document.querySelector("[data-screen]");
follow("/screen", (html) => {
  const open = new Set([...screen.querySelectorAll("details[open]")].map((row) => row.dataset.key));
  const tops = [...screen.querySelectorAll(".log")].map((log) => log.scrollTop);
  screen.innerHTML = html;
  screen.querySelectorAll(".log").forEach((log, index) => { log.scrollTop = tops[index] || 0; });
  for (const row of screen.querySelectorAll("details")) row.open = open.has(row.dataset.key);
});

const faults = document.querySelector("[data-faults]");
faults.addEventListener("change", async ({ target }) => {
  if (!target.reportValidity()) return;
  await act("faults", { [target.name]: target.type === "checkbox" ? target.checked : Number(target.value) });
  toast("已生效");
});
faults.addEventListener("submit", (event) => event.preventDefault());

// Only some troubles have a number, and each its own: a code, a status, milliseconds.
const trouble = document.querySelector("[data-trouble]");
trouble.elements.kind.addEventListener("change", ({ target }) => {
  const about = trouble.querySelector(`template[data-kind="${target.value}"]`);
  const field = trouble.querySelector("[data-value]");
  field.hidden = !about;
  field.querySelector("span").textContent = about ? about.dataset.unit : "";
  trouble.elements.value.value = about ? about.dataset.usual : 0;
});
trouble.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { endpoint, kind, value, times } = trouble.elements;
  const made = { endpoint: endpoint.value.trim(), kind: kind.value, value: Number(value.value), times: Number(times.value) };
  await act("trouble", made);
  toast(made.times ? `接下来 ${made.times} 次调用会出状况` : "会一直出状况，直到取消");
  refresh();
});

document.addEventListener("click", async ({ target }) => {
  const { heal } = target.dataset;
  if (heal === undefined) return;
  await act("heal", heal ? { number: Number(heal) } : {});
  if (heal) refresh();
  else location.reload();
});

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", async () => {
    const answer = await act(button.dataset.act, {});
    toast("ok" in answer ? answer.problem || "回调地址验证通过" : "access_token 已失效");
  });
}
