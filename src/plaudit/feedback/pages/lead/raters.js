/* Raters side by side; each sign asks for a look, and suspends nobody. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { meter } from "./charts.js";
import { counting } from "./counting.js";
import { ask } from "./dialog.js";
import { fixed, interval, percent, probability, seconds, whole } from "./numbers.js";
import { table, who } from "./table.js";

export async function ratersView({ api, again, attempt, rater }) {
  const found = await request("GET", `${api}/raters`);
  const columns = [
    { title: "Rater", kind: "who", by: (row) => row.reasons.length, cell: (row) => [...who(row.name, row.rater), signs(row, found.meanings)] },
    { title: "Judgments", by: (row) => row.judgments, cell: (row) => [whole(row.judgments), below(row.skips && `${whole(row.skips)} skipped`)] },
    { title: "Median time", by: (row) => row.median_seconds, cell: (row) => seconds(row.median_seconds) },
    { title: "Gold", by: (row) => point(row.gold), cell: (row) => [rate(row.gold, "right on gold"), below(row.gold.of && `of ${whole(row.gold.of)}`)] },
    { title: "With others", by: (row) => point(row.agreement), cell: (row) => [rate(row.agreement, "agreement with others"), below(row.repeats.of && `with self ${percent(point(row.repeats))}`)] },
    { title: "Skill", by: (row) => row.skill, cell: (row) => fixed(row.skill) },
    { title: "Left", by: (row) => point(row.left), cell: (row) => [rate(row.left, "took the left one"), below(row.left.of && `p ${probability(row.left_p)}`)] },
    { title: "Longer", by: (row) => point(row.longer), cell: (row) => percent(point(row.longer)) },
    { title: "Ties", by: (row) => point(row.ties), cell: (row) => percent(point(row.ties)) },
    { title: "", kind: "free", cell: (row) => (row.rater === rater ? "" : suspension(row, api, attempt)) },
  ];
  const shown = found.raters.filter((row) => row.judgments || row.skips || row.role === "rater");
  const flagged = shown.filter((row) => row.reasons.length && !row.suspended_at).length;
  return [...counting(found, again), el("section", { class: "card wide" }, el("h2", {}, "Raters"),
    el("p", { class: "soft" }, flagged ? `${flagged} to look at. ` : "", `Signs are looked for in the last ${whole(found.signs_from)} votes on pairs; counts are of everything that stands. A flag is a reason to look at what someone wrote, never a verdict.`),
    table("Raters and their measures", columns, shown, { rowClass: (row) => (row.suspended_at ? "suspended" : "") }))];
}

const LONGER = {
  gold: "The share right where the answer is known is very likely below 0.7.",
  accuracy: "Against the consensus of the others, accuracy is very likely below 0.65.",
  left: "Far more often than half, beyond chance, after allowing for the number of raters.",
  right: "Far more often than half, beyond chance, after allowing for the number of raters.",
  longer: "Where they depart from the others it is towards the longer candidate.",
  shorter: "Where they depart from the others it is towards the shorter candidate.",
  ties: "More than half, and far from what the others do.",
};

const point = (rate) => rate.interval?.point ?? null;

function rate(found, label) {
  if (!found.interval) return "–";
  const { low, point, high } = found.interval;
  return el("span", { class: "rate", title: `${found.times} of ${found.of}; 95 %: ${interval(found.interval, percent)}` },
    meter(point, low, high, `${percent(point)} ${label}, ${found.times} of ${found.of}, 95 % interval ${interval(found.interval, percent)}`), percent(point));
}

const below = (text) => (text ? el("span", { class: "small soft" }, text) : "");

function signs(row, meanings) {
  return el("div", { class: "signs" },
    row.suspended_at ? el("span", { class: "tag warn" }, "suspended") : null,
    row.reasons.map((name) => el("span", { class: "tag bad", title: LONGER[name] }, meanings[name] ?? name)),
    row.notes.filter((name) => !row.reasons.includes(name)).map((name) => el("span", { class: "tag" }, meanings[name] ?? name)));
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
