// Shows the simulated time and moves it.
import { act, refresh, toast } from "./api.js";

const box = document.querySelector("[data-clock]");
if (box) {
  let ahead = Number(box.dataset.now) - Date.now();
  const zone = "Asia/Shanghai";
  const long = new Intl.DateTimeFormat("zh-CN", {
    timeZone: zone, month: "long", day: "numeric", weekday: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
  });
  const short = new Intl.DateTimeFormat("zh-CN", { timeZone: zone, hour: "2-digit", minute: "2-digit", hour12: false });
  const draw = () => {
    const now = new Date(Date.now() + ahead);
    box.querySelector("[data-clock-time]").textContent = long.format(now);
    for (const one of document.querySelectorAll("[data-clock-short]")) one.textContent = short.format(now);
  };
  draw();
  setInterval(draw, 1000);
  document.addEventListener("sandbox:now", (event) => { ahead = event.detail - Date.now(); draw(); });
  box.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { advance, to } = button.dataset;
    const { now } = await act("clock", advance ? { advance_seconds: Number(advance) } : { to });
    ahead = new Date(now) - Date.now();
    draw();
    toast(`已快进：${button.textContent.trim()}`);
    refresh();
  });
}
