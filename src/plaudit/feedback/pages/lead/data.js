/* Taking data out and in, and taking one rater's data out for good. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { ask } from "./dialog.js";

export async function dataView({ api, attempt, rater }) {
  const [members, formats] = await Promise.all([request("GET", `${api}/members`), request("GET", `${api}/formats`)]);
  return [going(api, formats), coming(api, attempt), erasure(members.filter((member) => member.rater !== rater && !member.is_erased), attempt)];
}

function going(api, formats) {
  const targets = select({ votes: "judgments as they are", majority: "training targets by majority", soft: "training targets, soft" });
  const format = select({}), kind = select({ jsonl: "lines", json: "one array" });
  const link = el("a", { class: "button", download: "" }, "Export");
  const fill = () => format.replaceChildren(...options(targets.value === "votes" ? formats.judgments : formats.targets));
  const point = () => { link.href = `${api}/export?${new URLSearchParams({ format: format.value, targets: targets.value, kind: kind.value })}`; };
  targets.addEventListener("change", () => { fill(); point(); });
  for (const one of [format, kind]) one.addEventListener("change", point);
  fill();
  point();
  return el("section", { class: "card" }, el("h2", {}, "Export"),
    el("p", { class: "soft" }, "It is recorded what went out, so that models can be traced back to judgments and raters."),
    el("div", { class: "form" }, field("What", targets), field("Format", format), field("Written as", kind), link));
}

function coming(api, attempt) {
  const file = el("input", { type: "file", accept: ".json,.jsonl,.csv", required: true });
  const votes = el("input", { type: "number", min: 1, max: 1000, value: 1, required: true });
  const outcome = el("div", { role: "status" });
  const form = el("form", { class: "form" }, field("File", file), field("Votes an item is to have", votes), el("button", {}, "Import"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const kind = file.files[0].name.split(".").pop().toLowerCase();
    attempt(() => request("POST", `${api}/import?${new URLSearchParams({ kind, votes: votes.value })}`, undefined, { body: file.files[0] }), shown);
  });
  return el("section", { class: "card" }, el("h2", {}, "Import"),
    el("p", { class: "soft" }, "Items and judgments of any format Plaudit reads; it is told by the first row. Ids of people are hashed. The same file twice is there once."), form, outcome);

  function shown(taken) {
    const lost = Object.entries(taken.unread).map(([name, many]) => `${name} (${many})`).join(", ");
    outcome.replaceChildren(el("p", { class: "notice good" }, `${taken.new_judgments} new of ${taken.judgments} judgments, ${taken.new_items} new of ${taken.items} items.`),
      lost ? el("p", { class: "soft small" }, `Kept as it stood, but not read: ${lost}`) : null);
  }
}

const field = (label, input) => el("label", { class: "field" }, el("span", {}, label), input);
const select = (named) => el("select", {}, Object.entries(named).map(([value, text]) => el("option", { value }, text)));
const options = (names) => names.map((value) => el("option", { value }, value));

function erasure(members, attempt) {
  const outcome = el("div", { role: "status" });
  const choose = el("select", { required: true }, el("option", { value: "" }, "Choose"),
    members.map((member) => el("option", { value: member.rater }, `${member.name || "without a name"} (${member.rater})`)));
  const form = el("form", { class: "form" }, el("label", { class: "field" }, el("span", {}, "Whose"), choose), el("button", {}, "Erase"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sure = await ask({
      title: "Erase for good?", label: `Type ${choose.value}`, expected: choose.value, go: "Erase",
      text: "The name and everything they wrote go from the log, in all projects. The chain of hashes holds; what was exported or learned before is not undone. This cannot be taken back.",
    });
    if (sure) await attempt(() => request("DELETE", `/api/raters/${choose.value}/data`), shown);
  });
  return el("section", { class: "card" }, el("h2", {}, "Erase a rater's data"), form, outcome);

  function shown(erased) {
    choose.querySelector(":checked").remove();
    outcome.replaceChildren(el("p", { class: "notice good" }, `${erased.judgments} judgments were erased.`),
      erased.models.length ? el("div", {}, el("p", {}, "Models that learned from them, to be trained anew without:"), el("ul", {}, erased.models.map((model) => el("li", { class: "secret" }, model))))
        : el("p", { class: "soft" }, "No model is recorded to have learned from them."));
  }
}
