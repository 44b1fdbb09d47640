/* Taking data out and in, and taking one rater's data out for good. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { ask } from "./dialog.js";

export async function dataView({ api, attempt, rater }) {
  const members = await request("GET", `${api}/members`);
  return [erasure(members.filter((member) => member.rater !== rater && !member.is_erased), attempt)];
}

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
