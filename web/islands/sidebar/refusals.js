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
  ["agentid invalid", "settings", () => _("应用的企业或编号不对，请联系管理员检查应用设置。")],
  ["e=40056", "settings", () => _("应用的企业或编号不对，请联系管理员检查应用设置。")],
  ["e=301002", "settings", () => _("应用已停用，或不能由它调用，请联系管理员检查应用设置。")],
  ["e=42012", "signature", () =>
    _("页面签名用的票据不属于这个应用，请重新打开侧边栏；若反复出现，请管理员检查应用设置。")],
  ["e=40093", "signature", () =>
    _("页面签名不对，请重新打开侧边栏；若反复出现，请管理员检查可信域名。")],
  ["offline verifying", "signature", () => _("页面还没有完成授权，请重新打开侧边栏。")],
  ["invalid imgurl", "content", () => _("小程序封面图片无效，请管理员检查素材。")],
  ["invalid mediaid", "content", () => _("图片或文件已失效（素材只保存三天），请刷新后再试。")],
  ["function not exist", "old", () => _("企业微信版本太旧，请升级后再试。")],
  ["not supported", "old", () => _("企业微信版本太旧，请升级后再试。")],
  ["cancel", "cancel", () => _("已取消。")],
  ["timeout", "silence", () => _("企业微信没有回应，请重新打开侧边栏。")],
  ["network", "offline", () => _("网络不通，请检查网络后重试。")],
];

// A config refused without a reason lacks something that we should have given.
const WITHOUT_REASON = /^(preverifyjsapi|agentconfig|config):(config:)?fail$/;
const UNSAID = ["", "settings", () => _("应用的企业或编号不对，请联系管理员检查应用设置。")];

// The SDK takes the underscores out of some refusals: "fail_invalid_signature" arrives as "invalidsignature".
function find(errMsg) {
  const text = String(errMsg || "").toLowerCase();
  const known = KNOWN.find(([sign]) => text.includes(sign)) || KNOWN.find(([sign]) => text.includes(sign.replace(/ /g, "")));
  return known || (WITHOUT_REASON.test(text) ? UNSAID : undefined);
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
