/* Versions of the guidelines. */
import { request } from "../api.js";
import { el } from "../dom.js";
import { moment } from "./numbers.js";

export async function guidelinesView({ api, attempt }) {
  const versions = await request("GET", `${api}/guidelines`);
  const version = el("input", { type: "text", required: true, maxLength: 100, pattern: "[\\w.+\\-]+", autocomplete: "off" });
  const text = el("textarea", { rows: 14, required: true, maxLength: 200000 }, versions[0]?.text ?? "");
  const form = el("form", { class: "form" },
    el("label", { class: "field" }, el("span", {}, "Version"), version),
    el("label", { class: "field long" }, el("span", {}, "Text, Markdown"), text),
    el("button", { class: "primary" }, "Publish"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(() => request("POST", `${api}/guidelines`, { version: version.value, text: text.value }));
  });
  return [
    el("section", { class: "card" }, el("h2", {}, "A new version"),
      el("p", { class: "soft" }, "Raters see it from their next item on. Every judgment carries the version it was made under, so a version's text never changes."), form),
    el("section", { class: "card" }, el("h2", {}, "Versions"),
      versions.length ? versions.map((one, place) => el("details", { open: place === 0 },
        el("summary", {}, one.version, " ", el("span", { class: "soft small" }, moment(one.created_at))),
        el("pre", { class: "guideline" }, one.text))) : el("p", { class: "soft" }, "None.")),
  ];
}
