// Makes a framed page believe that it runs inside WeCom on Windows: user agent and WeixinJSBridge.
// A classic script; it must run before @wecom/jssdk. Sandbox only.
(function () {
  "use strict";
  var script = document.currentScript;
  var base = script.src.replace(/\/bridge\.js.*$/, "");
  var context = findContext();
  if (!context) return;

  var agent = navigator.userAgent.replace(/ wxwork\/.*$/, "") +
    " Language/zh ColorScheme/Light wxwork/4.1.36 (MicroMessenger/6.2) WindowsWechat MailPlugin_Electron WeMail embeddisk wwmver/3.26.36.609";
  override("userAgent", agent);
  override("platform", "Win32");

  var allowed = { config: {}, agentConfig: {} };
  var isReady = false;
  // These work as soon as one of the two configs has passed, without being listed.
  var free = ["getContext", "checkJsApi", "closeWindow", "imagePreview", "hideOptionMenu", "showOptionMenu",
    "hideMenuItems", "showMenuItems", "hideAllNonBaseMenuItem", "showAllNonBaseMenuItem", "setClipboardData"];
  // These need the app's own identity (agentConfig).
  var appOnly = ["getCurExternalContact", "getCurExternalChat", "sendChatMessage", "shareToExternalContact",
    "openEnterpriseChat", "selectExternalContact", "createTodo", "viewTodo"];
  var listeners = {};

  var handlers = {
    getContext: function (params, done) { done("ok", { entry: context.entry }); },
    getCurExternalContact: function (params, done) {
      if (["single_chat_tools", "single_kf_tools", "contact_profile"].indexOf(context.entry) < 0 || !context.external_userid) {
        return done("fail without context of external contact");
      }
      done("ok", { userId: context.external_userid });
    },
    getCurExternalChat: function (params, done) {
      if (context.entry !== "group_chat_tools" || !context.chat_id) return done("fail without context of external contact");
      done("ok", { chatId: context.chat_id });
    },
    sendChatMessage: function (params, done) {
      post("/jsapi/send", { member: context.member, external_userid: context.external_userid, chat_id: context.chat_id, entry: context.entry, params: plain(params) })
        .then(function (answer) { done(null, answer); tell("sandboxRefresh"); })
        .catch(function () { done("fail network error"); });
    },
    checkJsApi: function (params, done) {
      var result = {};
      (params.jsApiList || []).forEach(function (name) { result[name] = name in handlers; });
      done("ok", { checkResult: result });
    },
    openUserProfile: function (params, done) { done("ok"); },
    openEnterpriseChat: function (params, done) {
      var id = String(params.externalUserIds || "").split(";")[0];
      done("ok");
      if (id) tell("sandboxOpenChat", id);
    },
    imagePreview: function (params, done) { done("ok"); tell("sandboxOpenUrl", params.current || (params.urls || [])[0]); },
    openDefaultBrowser: function (params, done) {
      if (!/^https?:/.test(params.url || "")) return done("fail invalid url");
      window.open(params.url, "_blank", "noopener");
      done("ok");
    },
    setClipboardData: function (params, done) {
      Promise.resolve(navigator.clipboard && navigator.clipboard.writeText(params.data))
        .then(function () { done("ok"); }, function () { done("ok"); });
    },
    closeWindow: function (params, done) { done("ok"); },
    hideOptionMenu: function (params, done) { done("ok"); },
    showOptionMenu: function (params, done) { done("ok"); },
    hideMenuItems: function (params, done) { done("ok"); },
    showMenuItems: function (params, done) { done("ok"); },
    hideAllNonBaseMenuItem: function (params, done) { done("ok"); },
    showAllNonBaseMenuItem: function (params, done) { done("ok"); }
  };

  var bridge = {
    invoke: function (name, params, callback) {
      var answer = typeof callback === "function" ? callback : function () {};
      setTimeout(function () { invoke(name, params || {}, answer); }, 0);
    },
    on: function (name, callback) { (listeners[name] = listeners[name] || []).push(callback); }
  };

  if (window.sandboxBridgeDelay > 0) setTimeout(install, window.sandboxBridgeDelay);
  else install();

  function install() {
    window.WeixinJSBridge = bridge;
    document.dispatchEvent(new Event("WeixinJSBridgeReady"));
  }

  function invoke(name, params, answer) {
    if (name === "agentConfig" || name === "preVerifyJSAPI") return verify(name, params, answer);
    var done = function (keyword, fields) {
      answer(keyword === null ? fields : Object.assign({ err_msg: name + ":" + keyword }, fields));
    };
    if (!handlers[name]) return done("function not exist");
    if (!isReady) return done("fail_nopermission");
    if (appOnly.indexOf(name) >= 0) {
      if (!allowed.agentConfig[name]) return done(allowed.config[name] ? "fail no permission" : "permission denied");
    } else if (free.indexOf(name) < 0 && !allowed.config[name] && !allowed.agentConfig[name]) {
      return done("permission denied");
    }
    handlers[name](params, done);
  }

  function verify(name, params, answer) {
    post("/jsapi/verify", { kind: name, params: plain(params), url: location.href.split("#")[0] }).then(function (result) {
      if (result.err_msg === name + ":ok") {
        isReady = true;
        var list = (name === "agentConfig" ? params.jsApiList : params.verifyJsApiList) || [];
        var into = allowed[name === "agentConfig" ? "agentConfig" : "config"];
        list.forEach(function (one) { into[one] = true; });
      }
      answer(result);
    }, function () { answer({ err_msg: name + ":fail network error" }); });
  }

  function post(path, body) {
    // text/plain keeps it a simple request when the page lives on another origin.
    return fetch(base + path, { method: "POST", headers: { "Content-Type": "text/plain" }, body: JSON.stringify(body) })
      .then(function (response) { return response.json(); });
  }

  function plain(value) { return JSON.parse(JSON.stringify(value)); }

  function tell(name, value) {
    try {
      if (window.parent !== window && typeof window.parent[name] === "function") window.parent[name](value);
    } catch (ignored) { /* The desk lives on another origin. */ }
  }

  function override(name, value) {
    Object.defineProperty(navigator, name, { get: function () { return value; }, configurable: true });
  }

  // A login redirect takes the fragment away before any script has run; the frame's own element still has it.
  function frameAddress() {
    try {
      return window.frameElement ? window.frameElement.getAttribute("src") || "" : "";
    } catch (ignored) { return ""; /* The desk lives on another origin. */ }
  }

  // The desk's window knows best; else the address; else what this frame knew before the login redirect.
  function findContext() {
    var found = null;
    var key = "sandboxContext:" + window.name;
    try {
      if (window.parent !== window && window.parent.sandboxContext) found = window.parent.sandboxContext;
    } catch (ignored) { /* The desk lives on another origin. */ }
    if (found && window.name === "sandbox-browser") found = { member: found.member, external_userid: "", entry: "normal" };
    var match = /[#&]sandbox=([^&]+)/.exec(location.hash) || /#sandbox=([^&]+)/.exec(frameAddress());
    if (!found && match) {
      try { found = JSON.parse(decodeURIComponent(match[1])); } catch (ignored) { /* Not ours. */ }
    }
    try {
      if (found) sessionStorage.setItem(key, JSON.stringify(found));
      else if (window.parent !== window) found = JSON.parse(sessionStorage.getItem(key) || "null");
    } catch (ignored) { /* Storage is switched off. */ }
    return found;
  }
})();
