import "htmx.org";

import "./console/unsent.js";
import "./console/failures.js";
import "./console/phone-folds.js";
import "./console/side-menu.js";
import "./console/shortcuts.js";
import "./console/dialogs.js";
import "./console/field-form.js";
import "./console/script-form.js";
import "./console/segment-count.js";
import "./sidebar/copy-text.js";
import "./console/media-upload.js";
import "./console/text-editor.js";
import "./console/customer-filter.js";
import "./console/global-search.js";

// Only where there is a board: dragging is 13 kB that no other page needs.
if (document.querySelector("board-editor")) import("./console/board.js");
if (document.querySelector("[data-folders]")) import("./console/library-drag.js");
if (document.querySelector("attachment-order")) import("./console/attachment-order.js");
if (document.querySelector("tag-order")) import("./console/tag-order.js");
if (document.querySelector("condition-builder, board-editor")) import("./console/conditions/conditions.js");
if (document.querySelector("select[data-searched]")) import("./console/long-select.js");
if (document.querySelector("week-editor")) import("./console/week-editor.js");
