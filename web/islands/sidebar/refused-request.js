// What the server refuses htmx is said in a toast, in the server's words; the page stays as it was.
import { reason } from "./request.js";
import { toast } from "./toast.js";

document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  if (status === 401) location.reload();
  else toast(reason(responseText));
});

["htmx:sendError", "htmx:timeout"].forEach((name) => {
  document.addEventListener(name, () => {
    toast(navigator.onLine ? "连不上服务器，请稍后重试。" : "网络已断开，请检查网络后重试。");
  });
});
