/* Items by disagreement; one of them with its history, and the answer that settles it. */
import { newId, request } from "../api.js";
import { el } from "../dom.js";
import { meter } from "./charts.js";
import { answerForm, inWords } from "./answers.js";
import { counting } from "./counting.js";
import { moment, percent, whole } from "./numbers.js";
import { table } from "./table.js";

const asked = { sort: "disagreement", settled: "no", offset: 0 };
const AT_ONCE = 50;

export async function itemsView({ api, again }) {
  const query = new URLSearchParams({ sort: asked.sort, offset: asked.offset, limit: AT_ONCE });
  if (asked.settled !== "all") query.set("settled", asked.settled === "yes");
  const found = await request("GET", `${api}/items?${query}`);
  const go = (change) => { Object.assign(asked, { offset: 0 }, change); again(); };
  const columns = [
    { title: "Item", kind: "free", cell: (row) => el("a", { href: `#items/${row.number}`, class: "excerpt" }, row.excerpt || row.id) },
    { title: "Question", cell: (row) => row.question },
    { title: "Stratum", cell: (row) => row.stratum || "–" },
    { title: "Votes", cell: (row) => `${row.votes} of ${row.target_votes}` },
    { title: "Disagreement", cell: (row) => el("span", { class: "rate" }, meter(row.disagreement, 0, row.disagreement, `disagreement ${percent(row.disagreement)}`), percent(row.disagreement)) },
    { title: "State", cell: (row) => state(row) },
  ];
  const first = found.items.length ? found.offset + 1 : 0;
  return [...counting(found, again), el("section", { class: "card wide" }, el("h2", {}, "Items"),
    el("div", { class: "form" },
      choice("Order", asked.sort, { disagreement: "disputed, the most first", number: "all, as they were added" }, (sort) => go({ sort })),
      choice("Which", asked.settled, { no: "not settled", yes: "settled", all: "all" }, (settled) => go({ settled }))),
    found.items.length ? table("Items", columns, found.items, { sortable: false, compact: true }) : el("p", { class: "soft" }, "There are none."),
    el("p", { class: "actions" },
      el("button", { type: "button", disabled: !found.offset, onclick: () => go({ offset: Math.max(0, found.offset - AT_ONCE) }) }, "Before"),
      el("span", { class: "soft small" }, `${whole(first)} to ${whole(found.offset + found.items.length)}`),
      el("button", { type: "button", disabled: !found.has_more, onclick: () => go({ offset: found.offset + AT_ONCE }) }, "After")))];
}

function choice(label, chosen, options, changed) {
  const select = el("select", { onchange: () => changed(select.value) },
    Object.entries(options).map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return el("label", { class: "field" }, el("span", {}, label), select);
}

function state(row) {
  const names = [row.is_settled ? ["settled", "good"] : row.is_open ? ["open", ""] : ["full", ""], row.is_gold ? ["gold", "warn"] : null,
    row.names_a_model ? ["names a model", "warn"] : null];
  return names.filter(Boolean).map(([name, kind]) => el("span", { class: `tag ${kind}` }, name));
}

export async function itemView({ api, attempt }, number) {
  const [item, project] = await Promise.all([
    request("GET", `${api}/items/${encodeURIComponent(number)}`), request("GET", api).catch(() => null),
  ]);
  const question = project?.questions.find((one) => one.name === item.question);
  const settle = (judgment) => attempt(
    () => request("POST", `${api}/adjudications`, { item: item.number, judgment: { id: newId(), ...judgment } }),
  );
  return [
    el("p", { class: "wide" }, el("a", { href: "#items" }, "All items")),
    el("section", { class: "card wide" }, el("h2", {}, item.id, " ", el("span", { class: "small soft" }, item.question)), state(item), turns(item.prompt)),
    el("div", { class: "pair" }, item.candidates.map((candidate, place) => el("section", { class: "card" }, el("h2", {}, `Candidate ${letter(place)}`), turns(candidate)))),
    item.steps.length ? el("section", { class: "card wide" }, el("h2", {}, "Steps"), el("ol", {}, item.steps.map((step) => el("li", { class: "text" }, step)))) : null,
    el("section", { class: "card" }, el("h2", {}, "What was said"),
      item.gold ? el("p", {}, "Known answer: ", el("strong", {}, inWords(item.gold))) : null,
      item.history.length ? el("ol", { class: "history" }, item.history.map(said)) : el("p", { class: "soft" }, "Nothing yet.")),
    el("section", { class: "card" }, el("h2", {}, item.is_settled ? "Settle it anew" : "Settle it"),
      el("p", { class: "soft" }, "Your answer becomes the item's consensus, whatever the votes. It stands in the log like any other, and the item asks for no more votes."),
      answerForm(item, question, settle)),
  ].filter(Boolean);
}

export const letter = (place) => String.fromCharCode(65 + place);

const turns = (list) => list.map((turn) => el("div", { class: "turn" },
  turn.role ? el("span", { class: "role" }, turn.role) : null, el("p", { class: "text" }, turn.content)));

function said(one) {
  const marks = Object.entries(one.criteria).map(([name, values]) => `${name}: ${values.map((v) => v ?? "–").join(", ")}`);
  return el("li", { class: one.stands ? "" : "past" },
    el("span", { class: "said" }, inWords(one.answer)), " ",
    one.is_settlement ? el("span", { class: "tag good" }, "settles it") : null,
    one.stands ? null : el("span", { class: "tag" }, "no longer stands"),
    one.is_suspended ? el("span", { class: "tag warn" }, "suspended rater") : null,
    ...one.flags.map((flag) => el("span", { class: "tag warn" }, flag)),
    el("p", { class: "small soft" }, [one.name || one.rater, moment(one.submitted_at), one.active_seconds === null ? null : `${Math.round(one.active_seconds)} s`,
      one.confidence === null ? null : `confidence ${percent(one.confidence)}`, one.guideline_version ? `guidelines ${one.guideline_version}` : null].filter(Boolean).join(" · ")),
    marks.length ? el("p", { class: "small" }, marks.join(" · ")) : null,
    one.rationale ? el("p", { class: "text" }, one.rationale) : null);
}
