// The pages that stand in for a customer's: what is the matter, in one line, and what to do about it.
import { _ } from "../texts.js";

const RETRY = () => ({ act: "retry", label: _("重试") });
const RELOAD = () => ({ act: "reload", label: _("重新打开") });
const DAY = () => ({ href: "/sidebar/today", label: _("看今天的待办") });

// kind -> icon, title, text (empty: the words of the refusal), buttons
const PAGES = {
  outside: () => ["chat", _("请在企业微信里打开"), _("打开与客户的聊天，点右侧的侧边栏（手机上点右上角），就能看到这位客户。"), [DAY()]],
  group: () => ["chat", _("这里是群聊"), _("侧边栏展示单个客户的画像、订单和待办，请打开与客户的单独聊天。"), [DAY()]],
  entry: () => ["chat", _("这里不是与客户的聊天"), _("请打开与客户的单聊，从聊天工具栏进入侧边栏。"), [RETRY(), DAY()]],
  permission: () => ["closed", _("没有读取客户的权限"), "", [RETRY(), DAY()]],
  signature: () => ["closed", _("页面签名没有通过"), _("签名可能已过期，重新打开就好；若反复出现，请管理员检查可信域名和 server.public_url。"), [RELOAD(), DAY()]],
  domain: () => ["closed", _("这个域名不可信"), "", [RELOAD(), DAY()]],
  settings: () => ["closed", _("应用设置不对"), "", [RELOAD(), DAY()]],
  old: () => ["alert", _("企业微信版本太旧"), _("侧边栏需要企业微信 2.8.10 以上，建议升级到最新版。升级前可以先看待办，把文案复制到聊天里。"), [{ href: "/sidebar/plain", label: _("看待办文案") }]],
  silence: () => ["clock", _("企业微信没有回应"), _("请重试；还是不行，就关掉侧边栏重新打开，或重启企业微信。"), [RETRY(), DAY()]],
  stranger: () => ["closed", _("不能查看"), "", [DAY()]],
  lost: () => ["lost", _("没有找到"), "", [RETRY(), DAY()]],
  offline: () => ["alert", _("网络断开了"), _("连上网络后会自动重新读取。"), [RETRY()]],
  slow: () => ["clock", _("网络太慢"), _("等了 15 秒还没有读到客户资料，请换个网络再试。"), [RETRY()]],
  server: () => ["alert", _("服务器没有正常回答"), "", [RETRY()]],
  login: () => ["closed", _("登录没有成功"), _("请关掉侧边栏重新打开；若反复出现，请管理员检查应用的可信域名和可见范围。"), [RELOAD()]],
};
const UNKNOWN = () => ["alert", _("没有读到当前客户"), "", [RETRY(), DAY()]];

// `refusal` says why, in the words of who refused; its detail helps whoever is asked for help.
export function trouble(kind, refusal) {
  const [icon, title, text, buttons] = (PAGES[kind] || UNKNOWN)();
  const page = make("section", { className: "notice" });
  page.setAttribute("role", "alert");
  page.dataset.trouble = kind;
  const picture = make("i", { className: "icon" });
  picture.dataset.icon = icon;
  picture.setAttribute("aria-hidden", "true");
  const words = make("p", { className: "notice-text", textContent: text || refusal.message });
  page.append(picture, make("h1", { className: "notice-title", textContent: title }), words);
  if (refusal && refusal.detail && refusal.detail !== words.textContent && !refusal.status) {
    page.append(make("p", { className: "notice-detail", textContent: _("原因：{detail}", { detail: refusal.detail.slice(0, 160) }) }));
  }
  page.append(...buttons.map(button));
  return page;
}

function button({ act, href, label }) {
  const made = make(href ? "a" : "button", { className: "button", textContent: label });
  if (href) made.href = href;
  else Object.assign(made, { type: "button" }).dataset.act = act;
  return made;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
