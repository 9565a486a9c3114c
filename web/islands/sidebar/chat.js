// Which chat this page stands beside, as WeCom's client tells it.
import {
  getContext,
  getCurExternalContact,
  openEnterpriseChat,
  register,
  scanQRCode,
  sendChatMessage,
} from "@wecom/jssdk";
import { Refusal, request } from "./request.js";
import { words } from "./refusals.js";

const ENTRIES_OF_A_CONTACT = ["single_chat_tools", "single_kf_tools", "contact_profile"];
const ENTRIES_THAT_SEND = ["single_chat_tools", "single_kf_tools"];
// A client whose bridge never comes lets every call wait for ever.
const PATIENCE_MS = 12000;
// The detail of a refusal when nobody knows what the client did.
export const SILENCE = "timeout";

export const chat = { isInClient: /wxwork\//i.test(navigator.userAgent), entry: "", contact: "" };

let isRegistered = false;

function introduce() {
  if (isRegistered) return;
  isRegistered = true;
  const sign = (kind) => (url) => request("GET", `/sidebar/signature?kind=${kind}&url=${encodeURIComponent(url)}`);
  register({
    corpId: document.body.dataset.corp,
    agentId: document.body.dataset.agent,
    jsApiList: ["getContext", "getCurExternalContact", "sendChatMessage", "openEnterpriseChat", "scanQRCode"],
    getConfigSignature: sign("config"),
    getAgentConfigSignature: sign("agent_config"),
  });
}

function patiently(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject({ errMsg: SILENCE }), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function call(api, params) {
  try {
    return await patiently(api(params));
  } catch (problem) {
    if (problem instanceof Refusal) throw problem;
    throw new Refusal(words(problem && problem.errMsg), String((problem && problem.errMsg) || problem));
  }
}

// Asks the client anew: a member who turns to another chat may keep this very page.
export async function readChat() {
  if (!chat.isInClient) return chat;
  introduce();
  const { entry } = await call(getContext);
  const contact = ENTRIES_OF_A_CONTACT.includes(entry) ? (await call(getCurExternalContact)).userId : "";
  Object.assign(chat, { entry, contact });
  document.dispatchEvent(new CustomEvent("chat:read"));
  return chat;
}

export function canSendTo(contact) {
  return ENTRIES_THAT_SEND.includes(chat.entry) && chat.contact === contact;
}

export async function sendMessage(message) {
  await call(sendChatMessage, message);
}

export async function openChat(contact) {
  if (!chat.isInClient) return;
  introduce();
  await call(openEnterpriseChat, { externalUserIds: [contact], userIds: [], groupName: "", chatId: "" });
}

// Whoever scans takes their time: no patience here.
export async function scan() {
  introduce();
  const { resultStr } = await scanQRCode({ needResult: true, scanType: ["qrCode", "barCode"] });
  return resultStr;
}
