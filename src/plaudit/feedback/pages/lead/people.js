/* Members, invites and tokens. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { ask, showOnce } from "./dialog.js";
import { day, moment, whole } from "./numbers.js";
import { table, who } from "./table.js";

const ROLES = ["rater", "adjudicator", "lead"];

export async function peopleView(context) {
  const { api } = context;
  const [members, invites] = await Promise.all([request("GET", `${api}/members`), request("GET", `${api}/invites`)]);
  return [invite(context), invited(context, invites), everyone(context, members)];
}

function invite({ api, attempt }) {
  const role = roles("rater"), uses = number(10, 1, 10000), days = number(7, 1, 365);
  const form = el("form", { class: "form" }, field("They join as", role), field("How many", uses), field("Good for days", days),
    el("button", { class: "primary" }, "Make a link"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const made = await request("POST", `${api}/invites`, { role: role.value, uses: Number(uses.value), days: Number(days.value) });
      await showOnce("An invite link", "Send it to who is to join. It is shown only now; what is kept of it is a hash.", made.token);
    });
  });
  return el("section", { class: "card" }, el("h2", {}, "Invite"), form);
}

function invited({ api, attempt }, invites) {
  const columns = [
    { title: "Invite", cell: (row) => el("code", {}, row.id) }, { title: "As", cell: (row) => row.role },
    { title: "Uses left", cell: (row) => whole(row.uses_left) }, { title: "Until", cell: (row) => moment(row.expires_at) },
    { title: "", kind: "free", cell: (row) => el("button", { type: "button", onclick: () => attempt(() => request("DELETE", `${api}/invites/${row.id}`)) }, "End") },
  ];
  return el("section", { class: "card" }, el("h2", {}, "Open invites"),
    invites.length ? table("Open invites", columns, invites, { sortable: false }) : el("p", { class: "soft" }, "None."));
}

function everyone({ api, attempt, rater }, members) {
  const path = (row) => `${api}/members/${row.rater}`;
  const columns = [
    { title: "Member", kind: "who", by: (row) => row.name.toLowerCase(), cell: (row) => who(row.is_erased ? "erased" : row.name, row.rater) },
    { title: "Kind", by: (row) => row.kind, cell: (row) => [row.kind, row.version ? el("span", { class: "small soft" }, row.version) : ""] },
    { title: "Since", by: (row) => row.created_at, cell: (row) => day(row.created_at) },
    { title: "Role", by: (row) => ROLES.indexOf(row.role), cell: (row) => role(row) },
    { title: "", kind: "free", cell: (row) => el("div", { class: "actions" },
      row.suspended_at ? el("span", { class: "tag warn" }, "suspended") : null,
      el("button", { type: "button", onclick: () => rename(row) }, "Rename"),
      row.role === "lead" && row.rater !== rater ? null : el("button", { type: "button", onclick: () => token(row) }, "Sign-in link"),
      el("button", { type: "button", onclick: () => attempt(() => request("DELETE", `${path(row)}/tokens`)) }, "Sign out")) },
  ];
  return el("section", { class: "card wide" }, el("h2", {}, "Members"),
    el("p", { class: "soft" }, "Judgments carry ids alone; names stand here and nowhere else."),
    table("Members", columns, members, { rowClass: (row) => (row.suspended_at ? "suspended" : "") }));

  function role(row) {
    const select = roles(row.role);
    select.setAttribute("aria-label", `Role of ${row.name || row.rater}`);
    select.addEventListener("change", () => attempt(() => request("PATCH", path(row), { role: select.value })));
    return select;
  }
  async function rename(row) {
    const name = await ask({ title: "Another name", text: `For ${row.rater}, now ${row.name || "without one"}.`, label: "Name", go: "Rename" });
    if (name) await attempt(() => request("PATCH", path(row), { name }));
  }
  async function token(row) {
    await attempt(async () => {
      const made = await request("POST", `${path(row)}/tokens`, {});
      await showOnce(`Sign-in link of ${row.name || row.rater}`, `Good for this project until ${day(made.expires_at)}. Whoever has it is them: hand it to nobody else.`, made.token);
    });
  }
}

const field = (label, input) => el("label", { class: "field" }, el("span", {}, label), input);
const number = (value, min, max) => el("input", { type: "number", value, min, max, required: true });
const roles = (chosen) => el("select", {}, ROLES.map((name) => el("option", { value: name, selected: name === chosen }, name)));
