// Talks to the sandbox: one function for acts, one for the poll that keeps a page fresh.
export const base = document.body.dataset.base;

const toastBox = document.querySelector("[data-toast]");
let toastTimer = 0;

export function toast(text) {
  toastBox.textContent = text;
  toastBox.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toastBox.hidden = true; }, 2400);
}

// A refusal has been shown to the reader already; whoever waits for the answer just stops.
class Refused extends Error {}
window.addEventListener("unhandledrejection", (event) => { if (event.reason instanceof Refused) event.preventDefault(); });

export async function act(name, body) {
  const response = await fetch(`${base}/api/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body || {}),
  });
  const answer = await response.json();
  if (!response.ok) {
    toast(answer.error);
    throw new Refused(answer.error);
  }
  return answer;
}

// Asks for a fragment every 0.8 s while the page is seen; `show` gets its HTML when it differs from the last.
export function follow(path, show) {
  let seen = "";
  let shown = "";
  let timer = 0;
  const ask = async () => {
    clearTimeout(timer);
    try {
      const address = new URL(base + path, location.href);
      address.searchParams.set("seen", seen);
      const response = await fetch(address);
      const now = Number(response.headers.get("X-Now"));
      if (now) document.dispatchEvent(new CustomEvent("sandbox:now", { detail: now }));
      if (response.status === 200) {
        seen = response.headers.get("X-Revision");
        const html = await response.text();
        if (html !== shown) show((shown = html));
      }
    } catch {
      // The server is away for a moment; the next question finds out.
    }
    timer = setTimeout(ask, document.hidden ? 4000 : 800);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  document.addEventListener("sandbox:refresh", ask);
  ask();
}

export const refresh = () => document.dispatchEvent(new Event("sandbox:refresh"));

// Keeps a chat at its end when the reader was at its end, and moves there at first.
export function scrollsToEnd(box) {
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  return () => { if (atEnd) box.scrollTop = box.scrollHeight; };
}

export function sendOnEnter(form) {
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
