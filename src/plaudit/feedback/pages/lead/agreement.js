/* Agreement, and above it how far the project is. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { band, columns, intervals } from "./charts.js";
import { counting } from "./counting.js";
import { day, fixed, interval, percent, shortDay, whole } from "./numbers.js";

const LEVELS = { nominal: "same or not", ordinal: "how far apart in order", interval: "how far apart in marks" };

export async function agreementView({ api, again }) {
  const [cost, found] = await Promise.all([request("GET", `${api}/cost`), request("GET", `${api}/agreement`)]);
  return [...counting(found, again), pace(cost), ...(found.boards.length ? found.boards.map(board) : [empty()]), meaning()];
}

function pace(cost) {
  const done = cost.votes + cost.votes_left ? cost.votes / (cost.votes + cost.votes_left) : 0;
  const money = (amount) => `${amount.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} ${cost.currency}`;
  const when = !cost.votes_left ? "nothing left to do" : cost.finishes_at ? `at this pace until ${day(cost.finishes_at)}` : "nobody judged in the last seven days";
  return el("section", { class: "card wide", "aria-labelledby": "pace" },
    el("h2", { id: "pace" }, "Cost and pace"),
    el("div", { class: "figures" },
      figure("Votes", whole(cost.votes), `${percent(done)} done, about ${whole(cost.votes_left)} to go`),
      figure("Items open", whole(cost.open_items), `of ${whole(cost.items)}`),
      figure("A day", whole(Math.round(cost.records_per_day)), when),
      cost.price_per_vote
        ? figure("Spent", money(cost.spent), `about ${money(cost.to_spend)} to go, at ${money(cost.price_per_vote)} a vote`)
        : figure("Attention", `${cost.hours.toFixed(1)} h`, "measured, with the page in view")),
    columns(cost.by_day.map((d) => ({ at: d.begins_at, value: d.records })), { label: "Judgments recorded in each of the last thirty days", name: shortDay }));
}

const figure = (name, value, more) => el("div", { class: "figure" },
  el("span", { class: "soft small" }, name), el("strong", {}, value), el("span", { class: "soft small" }, more));

function board(found) {
  const all = found.overall, heading = found.criterion ? `${found.question}: ${found.criterion}` : found.question;
  const parts = found.by_stratum.length ? [...found.by_stratum] : [];
  const rows = [{ name: "all", ...scaled(all) }, ...parts.map((p) => ({ name: p.name || "no stratum", ...scaled(p.agreement) }))];
  const timed = found.over_time.filter((p) => p.agreement.alpha);
  return el("section", { class: "card" },
    el("h2", {}, heading, " ", el("span", { class: "soft small" }, `${found.reading}, ${LEVELS[found.level]}`)),
    el("div", { class: "figures" },
      figure("Krippendorff's α", all.alpha ? fixed(all.alpha.point) : "–", all.alpha ? `95 %: ${interval(all.alpha)}` : all.why),
      figure("Two votes the same", percent(all.same), `AC1 ${fixed(all.ac1)}`),
      figure("Human ceiling", percent(all.ceiling), "one vote with most of the others"),
      figure("Made from", whole(all.votes), `votes on ${whole(all.units)} with two or more`)),
    rows.length > 1 || all.alpha ? chart("By stratum", intervals(rows, { from: -0.25, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1], label: `Alpha of ${heading} with 95 % intervals: ${rows.map(said).join("; ")}` })) : null,
    timed.length > 1 ? chart(`Over time, by ${timed[0].name}`, band(timed.map((p) => ({ at: p.begins_at, ...p.agreement.alpha })), { from: -0.25, to: 1, ticks: [0, 0.5, 1], name: shortDay, label: `Alpha of ${heading} over time: ${timed.map((p) => `${shortDay(p.begins_at)} ${fixed(p.agreement.alpha.point)}`).join("; ")}` })) : null);
}

const scaled = (agreement) => (agreement.alpha ? { ...agreement.alpha } : { why: agreement.why });
const said = (row) => (row.point === undefined ? `${row.name} none` : `${row.name} ${fixed(row.point)}, ${interval(row)}`);
const chart = (title, drawn) => el("figure", {}, el("figcaption", { class: "soft small" }, title), drawn);

const empty = () => el("section", { class: "card" }, el("h2", {}, "No agreement yet"),
  el("p", { class: "soft" }, "It can be seen once two people have judged the same items."));

function meaning() {
  return el("details", { class: "card wide" }, el("summary", {}, "What this does and does not mean"),
    el("ul", {},
      el("li", {}, "α is agreement beyond chance: 1 is perfect, 0 what drawing from all votes would give, below 0 less than that. It is not how often people are right: raters who share a habit agree and may all be wrong. Look at gold accuracy beside it."),
      el("li", {}, "Rules of thumb (0.8 good, 0.67 tentative) come from coding texts by strict rules. Preferences are matters of taste in part and lie far lower in the best of data."),
      el("li", {}, "The human ceiling is how often one vote is what most of the others say. A model that predicts single votes cannot be expected to beat it by much; one that predicts a consensus of several can."),
      el("li", {}, "Where nearly all votes are one label α falls although people agree; AC1 stays near what is seen."),
      el("li", {}, "Intervals resample what was judged, not who judged: with few raters they are too narrow. Low agreement in one stratum may be the guidelines' fault, or the stratum's nature; read its items before retraining anybody.")));
}
