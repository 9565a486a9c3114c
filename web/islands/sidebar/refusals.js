// What the JS-SDK says when it refuses: which trouble that is, and what a member can do about it.
import { _ } from "../texts.js";

const KNOWN = [
  ["without context", "entry", () => _("当前不在与客户的单聊里，请打开这位客户的聊天再发送。")],
  ["no permission", "permission", () =>
    _("没有权限：请管理员在「客户联系 → 可调用接口的应用」中勾选本应用，并确认你在客户联系的使用范围内。")],
  ["permission denied", "permission", () => _("应用没有这个接口的权限，请联系管理员检查应用设置。")],
  ["nopermission", "signature", () => _("页面还没有完成授权，请重新打开侧边栏。")],
  ["not in allow list", "permission", () => _("你不在应用的可见范围内，请联系管理员。")],
  ["invalid signature", "signature", () =>
    _("页面签名不对，请重新打开侧边栏；若反复出现，请管理员检查可信域名。")],
  ["invalid url domain", "domain", () =>
    _("当前域名不是应用的可信域名，请管理员到「网页授权及JS-SDK」中设置。")],
  ["invalid corpid", "settings", () => _("应用的企业或编号不对，请联系管理员检查应用设置。")],
  ["invalid agentid", "settings", () => _("应用的企业或编号不对，请联系管理员检查应用设置。")],
  ["invalid imgurl", "content", () => _("小程序封面图片无效，请管理员检查素材。")],
  ["invalid mediaid", "content", () => _("图片或文件已失效（素材只保存三天），请刷新后再试。")],
  ["function not exist", "old", () => _("企业微信版本太旧，请升级后再试。")],
  ["not supported", "old", () => _("企业微信版本太旧，请升级后再试。")],
  ["cancel", "cancel", () => _("你取消了发送。")],
  ["timeout", "silence", () => _("企业微信没有回应，请重新打开侧边栏。")],
  ["network", "offline", () => _("网络不通，请检查网络后重试。")],
];

function find(errMsg) {
  const text = String(errMsg || "").toLowerCase();
  return KNOWN.find(([sign]) => text.includes(sign));
}

export function words(errMsg) {
  const known = find(errMsg);
  return known ? known[2]() : _("企业微信没有接受这次操作，请重试；若反复出现，请联系管理员。");
}

// "unknown" is for what nobody has met yet.
export function kindOf(errMsg) {
  const known = find(errMsg);
  return known ? known[1] : "unknown";
}
