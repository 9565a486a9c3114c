import "htmx.org";

import "./console/side-menu.js";
import "./console/shortcuts.js";
import "./console/dialogs.js";
import "./console/field-form.js";
import "./console/script-form.js";
import "./sidebar/copy-text.js";
import "./console/media-upload.js";
import "./console/text-editor.js";

// Only where there is a board: dragging is 13 kB that no other page needs.
if (document.querySelector("board-editor")) import("./console/board.js");
