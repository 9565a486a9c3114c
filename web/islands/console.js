import "htmx.org";

import "./console/side-menu.js";
import "./console/shortcuts.js";
import "./console/dialogs.js";
import "./console/field-form.js";
import "./sidebar/copy-text.js";
import "./console/media-upload.js";
import "./console/text-editor.js";
