// What visitors of a mall do, told to the CRM: at most 2 kB, no id before consent.
// <script src="https://crm…/track.js" data-key="…" data-consent="required|given" async></script>, then scrm.track(…).

// A classic script shares its names with the mall's own ones, so it keeps them to itself.
(() => {
  const script = document.currentScript || document.querySelector("script[data-key]");
  const { key, consent: asked } = script.dataset;
  const url = script.dataset.url || new URL("/track", script.src).href;
  const ID = "scrm_id";
  const CONSENT = "scrm_consent";
  const view = new URLSearchParams(location.search).get("scrm_r");
  let waiting = [];
  let timer;
  let person = {};
  let visitor;
  let allowed = read(CONSENT) === "1" || (asked === "given" && read(CONSENT) !== "0");

  function read(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  }

  function write(name, value) {
    try {
      if (value) localStorage.setItem(name, value);
      else localStorage.removeItem(name);
    } catch {}
  }

  function fresh() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
  }

  // Where nothing may be stored, a visitor is known until the page is left.
  function id() {
    visitor = read(ID) || visitor || fresh();
    write(ID, visitor);
    return visitor;
  }

  function forget() {
    visitor = "";
    person = {};
    write(ID);
  }

  function send(more) {
    clearTimeout(timer);
    timer = 0;
    const events = waiting.splice(0, 50);
    const body = JSON.stringify({ key, anonymous_id: id(), sent_at: Date.now(), consent: allowed, ...person, ...more, events });
    if (!navigator.sendBeacon || !navigator.sendBeacon(url, body)) {
      fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" }).catch(() => {});
    }
  }

  function track(name, facts) {
    waiting.push({ event_id: fresh(), name, occurred_at: Date.now(), page_path: location.pathname, source: "mall", ...facts });
    waiting = waiting.slice(-50);
    if (allowed && !timer) timer = setTimeout(send, 1000);
  }

  const scrm = {
    track,
    // scrm.identify({ token }) or scrm.identify({ identities: [{ kind: "wx_unionid", value }] })
    identify(who) {
      person = who;
      if (allowed) send();
    },
    consent(yes) {
      allowed = yes;
      write(CONSENT, yes ? "1" : "0");
      if (yes) send();
      else {
        waiting = [];
        person = {};
        if (read(ID) || visitor) send();
        forget();
      }
    },
    // After a logout the next one is somebody else.
    reset: forget,
  };

  // Only the time in which the page can be seen counts.
  let seen = 0;
  let since = document.hidden ? 0 : Date.now();

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      since = Date.now();
      return;
    }
    if (since) seen += Date.now() - since;
    since = 0;
    if (view) track("content.read", { radar: view, seconds: Math.round(seen / 1000), title: document.title });
    if (allowed && waiting.length) send();
  });

  const early = (window.scrm && window.scrm.q) || [];
  window.scrm = scrm;
  track("page.viewed", { title: document.title, referrer: document.referrer });
  for (const [act, ...args] of early) scrm[act](...args);
})();
