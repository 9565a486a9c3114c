// Fault switches and logs.
import { act, follow, toast } from "./api.js";

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

const failNext = document.querySelector("[data-fail-next]");
failNext.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { endpoint, errcode, times } = failNext.elements;
  await act("fail_next", { endpoint: endpoint.value.trim(), errcode: Number(errcode.value), times: Number(times.value) });
  toast(`接下来 ${times.value} 次调用会返回 ${errcode.value}`);
});

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", async () => {
    const answer = await act(button.dataset.act, {});
    toast("ok" in answer ? answer.problem || "回调地址验证通过" : "access_token 已失效");
  });
}
