/* Raters side by side; each sign asks for a look, and suspends nobody. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { meter } from "./charts.js";
import { ask } from "./dialog.js";
import { fixed, interval, percent, probability, seconds, whole } from "./numbers.js";
import { table, who } from "./table.js";

export async function ratersView({ api, attempt, rater }) {
  const found = await request("GET", `${api}/raters`);
  const columns = [
    { title: "Rater", kind: "who", by: (row) => row.name.toLowerCase(), cell: (row) => who(row.name, row.rater) },
    { title: "Judgments", by: (row) => row.judgments, cell: (row) => [whole(row.judgments), row.skips ? el("span", { class: "small soft" }, `${whole(row.skips)} skipped`) : ""] },
    { title: "Gold", by: (row) => point(row.gold), cell: (row) => rate(row.gold, "right on gold") },
    { title: "With others", by: (row) => point(row.agreement), cell: (row) => rate(row.agreement, "agreement with others") },
    { title: "Skill", by: (row) => row.skill, cell: (row) => fixed(row.skill) },
    { title: "Left", by: (row) => point(row.left), cell: (row) => [rate(row.left, "took the left one"), row.left.of ? el("span", { class: "small soft" }, `p ${probability(row.left_p)}`) : ""] },
    { title: "Longer", by: (row) => point(row.longer), cell: (row) => rate(row.longer, "took the longer one") },
    { title: "Ties", by: (row) => point(row.ties), cell: (row) => rate(row.ties, "ties") },
    { title: "Repeats", by: (row) => point(row.repeats), cell: (row) => rate(row.repeats, "same answer when asked again") },
    { title: "Median time", by: (row) => row.median_seconds, cell: (row) => seconds(row.median_seconds) },
    { title: "Signs", kind: "free", by: (row) => row.reasons.length, cell: (row) => signs(row, found.meanings) },
    { title: "", kind: "free", cell: (row) => (row.rater === rater ? "" : suspension(row, api, attempt)) },
  ];
  const flagged = found.raters.filter((row) => row.reasons.length && !row.suspended_at).length;
  return el("section", { class: "card wide" }, el("h2", {}, "Raters"),
    el("p", { class: "soft" }, flagged ? `${flagged} to look at. ` : "", `Signs are looked for in the last ${whole(found.signs_from)} votes on pairs; counts are of everything that stands. A flag is a reason to look at what someone wrote, never a verdict.`),
    table("Raters and their measures", columns, found.raters, { rowClass: (row) => (row.suspended_at ? "suspended" : "") }));
}

const point = (rate) => rate.interval?.point ?? null;

function rate(found, label) {
  if (!found.interval) return "–";
  const { low, point, high } = found.interval;
  return el("span", { class: "rate", title: `${found.times} of ${found.of}; 95 %: ${interval(found.interval, percent)}` },
    meter(point, low, high, `${percent(point)} ${label}, ${found.times} of ${found.of}, 95 % interval ${interval(found.interval, percent)}`), percent(point));
}

function signs(row, meanings) {
  return [
    row.suspended_at ? el("span", { class: "tag warn" }, "suspended") : "",
    ...row.reasons.map((name) => el("span", { class: "tag bad", title: meanings[name] }, meanings[name] ?? name)),
    ...row.notes.map((name) => el("span", { class: "tag", title: meanings[name] }, meanings[name] ?? name)),
  ];
}

function suspension(row, api, attempt) {
  const path = `${api}/members/${row.rater}/suspension`;
  if (row.suspended_at) return el("button", { type: "button", onclick: () => attempt(() => request("DELETE", path)) }, "Resume");
  const suspend = async () => {
    const reason = await ask({
      title: `Suspend ${row.name || row.rater}?`, label: "Why (it stands in the events)", go: "Suspend",
      text: "Their judgments are left out of consensus and agreement, and they are given nothing more to judge. Nothing is deleted, and you can take it back.",
    });
    if (reason) await attempt(() => request("POST", path, { reason }));
  };
  return el("button", { type: "button", onclick: suspend }, "Suspend");
}
