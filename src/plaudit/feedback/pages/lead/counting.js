/* Said above figures that are behind the log. */
import { el } from "../dom.js";

export const counting = (found, again) => (found.is_whole ? [] : [el("p", { class: "notice wide", role: "status" },
  "Votes are still being counted; these figures are not up to date. ", el("button", { type: "button", onclick: again }, "Look again"))]);
