// For engines that cannot run the sidebar, and for pages whose scripts did not arrive: ES5 alone, so that all of them
// can read it. What is written on the page stays readable and can be copied; the rest of it is put away.
(function () {
  "use strict";
  var here = document.currentScript;

  function start() {
    if (window.sidebarIsAlive || document.documentElement.getAttribute("data-plain") === "on") return;
    document.documentElement.setAttribute("data-plain", "on");
    var isShell = document.querySelector("chat-context:not([contact])");
    if (isShell && navigator.onLine !== false && !document.querySelector(".plain")) {
      location.replace(here.getAttribute("data-instead"));
      return;
    }
    each("[data-plain-style]", function (link) { link.media = "all"; });
    // Where the texts stand already nobody has to be led to them.
    if (!document.querySelector(".plain")) each("[data-only-plain]", function (part) { part.hidden = false; });
    each('[data-act="send"]', function (button) { button.hidden = true; });
    each('[data-act="copy"]', function (button) { button.hidden = false; });
  }

  function each(selector, act) {
    var found = document.querySelectorAll(selector);
    for (var i = 0; i < found.length; i += 1) act(found[i]);
  }

  function up(node, isWanted) {
    while (node && node.nodeType === 1 && !isWanted(node)) node = node.parentNode;
    return node && node.nodeType === 1 ? node : null;
  }

  function copy(text) {
    var field = document.createElement("textarea");
    field.value = text;
    field.setAttribute("readonly", "");
    field.className = "unseen";
    document.body.appendChild(field);
    field.focus();
    field.setSelectionRange(0, text.length);
    var isCopied = false;
    try {
      isCopied = document.execCommand("copy");
    } catch (ignored) {
      isCopied = false;
    }
    document.body.removeChild(field);
    return isCopied;
  }

  document.addEventListener("click", function (event) {
    if (document.documentElement.getAttribute("data-plain") !== "on" && !document.querySelector(".plain")) return;
    var button = up(event.target, function (node) { return node.getAttribute("data-act") === "copy"; });
    var task = button && up(button, function (node) { return node.getAttribute("data-copied") !== null || node.nodeName === "SEND-TO-CHAT"; });
    if (!task) return;
    var text = "";
    var parts = task.querySelectorAll(".bubble");
    for (var i = 0; i < parts.length; i += 1) text += (i ? "\n" : "") + (parts[i].textContent || "").replace(/^\s+|\s+$/g, "");
    button.textContent = here.getAttribute(copy(text) ? "data-copied-words" : "data-failed-words");
  });

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}());
