// The sidebar: htmx for what the server draws, one small element for each thing that only WeCom's client can do.
import "htmx.org";
import "./sidebar/chat-context.js";
import "./sidebar/drafts.js";
import "./sidebar/network.js";
import "./sidebar/copy-text.js";
import "./sidebar/scan-code.js";
import "./sidebar/script-mine.js";
import "./sidebar/script-shelf.js";
import "./sidebar/send-card.js";
import "./sidebar/send-coupon.js";
import "./sidebar/send-script.js";
import "./sidebar/send-to-chat.js";
import "./sidebar/sheet.js";
import "./sidebar/side-tabs.js";
import "./sidebar/today-list.js";
import "./sidebar/refused-request.js";
import "./sidebar/alive.js";
