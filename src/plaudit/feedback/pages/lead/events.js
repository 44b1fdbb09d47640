/* What happened beside judgments. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { moment } from "./numbers.js";
import { table } from "./table.js";

let kind = "";

export async function eventsView({ api, again }) {
  const query = new URLSearchParams(kind ? { kind } : {});
  const [found, members] = await Promise.all([request("GET", `${api}/events?${query}`), request("GET", `${api}/members`)]);
  const names = new Map(members.map((member) => [member.rater, member.name]));
  const name = (id) => names.get(id) || id;
  const columns = [
    { title: "When", cell: (row) => moment(row.at) }, { title: "Who", cell: (row) => name(row.rater) },
    { title: "What", cell: (row) => row.kind },
    { title: "More", kind: "free", cell: (row) => Object.entries(row.detail).map(([key, value]) => `${key}: ${key === "rater" ? name(value) : typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ") },
  ];
  const choose = el("select", { onchange: () => { kind = choose.value; again(); } },
    ["", "suspended", "resumed", "invited", "joined", "role", "token", "signed_out", "guideline", "exported", "imported", "erased", "opened", "undone"]
      .map((value) => el("option", { value, selected: value === kind }, value || "everything")));
  const rows = el("div", {}, table("Events", columns, found, { sortable: false }));
  const more = el("button", { type: "button", disabled: found.length < 100, onclick: async () => {
    const older = await request("GET", `${api}/events?${new URLSearchParams({ ...(kind ? { kind } : {}), before: found.at(-1).number })}`);
    found.push(...older);
    rows.replaceChildren(table("Events", columns, found, { sortable: false }));
    more.disabled = older.length < 100;
  } }, "Older");
  return el("section", { class: "card wide" }, el("h2", {}, "Events"),
    el("div", { class: "form" }, el("label", { class: "field" }, el("span", {}, "Kind"), choose)), rows, el("p", { class: "actions" }, more));
}
