// Which chat this page stands beside, as WeCom's client tells it.
import {
  getContext,
  getCurExternalChat,
  getCurExternalContact,
  openEnterpriseChat,
  register,
  scanQRCode,
  sendChatMessage,
} from "@wecom/jssdk";
import { _ } from "../texts.js";
import { Refusal, request } from "./request.js";
import { kindOf, words } from "./refusals.js";

const ENTRIES_OF_A_CONTACT = ["single_chat_tools", "single_kf_tools", "contact_profile"];
const ENTRIES_OF_A_GROUP = ["group_chat_tools"];
const ENTRIES_THAT_SEND = ["single_chat_tools", "single_kf_tools"];
const APIS = [
  "getContext",
  "getCurExternalContact",
  "getCurExternalChat",
  "sendChatMessage",
  "openEnterpriseChat",
  "scanQRCode",
];
// A client whose bridge never comes lets every call wait for ever.
const PATIENCE_MS = 12000;
// The detail of a refusal when nobody knows what the client did.
export const SILENCE = "timeout";

export const chat = { isInClient: /wxwork\//i.test(navigator.userAgent), entry: "", contact: "", group: "" };

let isRegistered = false;
let readings = 0;

function introduce() {
  if (isRegistered) return;
  isRegistered = true;
  const sign = (kind) => (url) => request("GET", `/sidebar/signature?kind=${kind}&url=${encodeURIComponent(url)}`);
  register({
    corpId: document.body.dataset.corp,
    agentId: document.body.dataset.agent,
    jsApiList: APIS,
    getConfigSignature: sign("config"),
    getAgentConfigSignature: sign("agent_config"),
  });
}

function patiently(promise) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject({ errMsg: SILENCE }), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A page that lay open longer than its signature holds is signed anew, once.
async function call(api, params) {
  try {
    return await ask(api, params);
  } catch (problem) {
    if (problem.kind !== "signature") throw problem;
    changeAddress();
    return ask(api, params);
  }
}

// The SDK signs each address of the page only once.
function changeAddress() {
  const address = new URL(location.href);
  address.searchParams.set("signed", Date.now().toString(36));
  history.replaceState(history.state, "", address);
}

async function ask(api, params) {
  try {
    return await patiently(api(params));
  } catch (problem) {
    if (problem instanceof Refusal) throw problem;
    const said = saidBy(problem);
    throw new Refusal(words(said), said, 0, kindOf(said));
  }
}

// Some clients tell the cause by its number alone.
function saidBy(problem) {
  const { errMsg, errCode } = problem || {};
  if (!errMsg) return String(problem);
  return errCode > 0 && !errMsg.includes(`e=${errCode}`) ? `${errMsg} (e=${errCode})` : errMsg;
}

// Asks the client anew: a member who turns to another chat may keep this very page. Of several answers on their way
// the one asked for last counts.
export async function readChat() {
  if (!chat.isInClient) return chat;
  introduce();
  readings += 1;
  const mine = readings;
  const found = await whereWeAre();
  if (mine === readings) {
    Object.assign(chat, found);
    document.dispatchEvent(new CustomEvent("chat:read"));
  }
  return chat;
}

async function whereWeAre() {
  const entry = await entryOrNone();
  if (entry === undefined) return tryBoth();
  const contact = ENTRIES_OF_A_CONTACT.includes(entry) ? (await call(getCurExternalContact)).userId : "";
  const group = ENTRIES_OF_A_GROUP.includes(entry) ? (await call(getCurExternalChat)).chatId : "";
  return { entry, contact, group: group || "" };
}

// Clients before 3.0.24 cannot tell the entry.
async function entryOrNone() {
  try {
    return (await call(getContext)).entry;
  } catch (problem) {
    if (problem.kind === "old") return undefined;
    throw problem;
  }
}

async function tryBoth() {
  try {
    return { entry: "single_chat_tools", contact: (await call(getCurExternalContact)).userId, group: "" };
  } catch (problem) {
    if (problem.kind !== "entry") throw problem;
  }
  return { entry: "group_chat_tools", contact: "", group: (await call(getCurExternalChat)).chatId };
}

export function canSendTo(contact) {
  return ENTRIES_THAT_SEND.includes(chat.entry) && chat.contact === contact;
}

// The client sends into whatever chat is open at that moment: so it is asked once more, right before.
export async function sendMessage(message, contact = "") {
  if (contact) {
    await readChat();
    if (!canSendTo(contact)) throw new Refusal(_("当前打开的不是这位客户的聊天，没有发送。"), "another chat was open", 0, "entry");
  }
  await call(sendChatMessage, whole(message));
}

// A card has all four of its fields, though one be empty.
function whole(message) {
  return message.news ? { ...message, news: { title: "", desc: "", imgUrl: "", ...message.news } } : message;
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
