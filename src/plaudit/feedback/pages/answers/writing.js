/* A demonstration: the rater writes the response. */
import { el } from "../dom.js";

export function writing(question, assignment, changed) {
  const count = el("span", { class: "soft small" });
  const counted = () => {
    const words = field.value.trim().split(/\s+/).filter(Boolean).length;
    count.textContent = words === 1 ? "1 word" : `${words} words`;
  };
  const field = el("textarea", {
    class: "writing", rows: 12, dir: "auto", oninput() { counted(); changed(); },
    placeholder: "Write the response you would want to be given. Markdown is understood.",
  });
  const element = el("div", { class: "field" },
    el("label", {}, el("span", { class: "visually-hidden" }, question.title), field), count);
  counted();
  const stop = {
    element, focus: () => field.focus(), take: (name) => name === "e" && (field.focus(), true),
  };
  return {
    element, stops: [stop], said: () => count.textContent,
    answer: () => (field.value.trim() ? { kind: "demonstration", text: field.value } : null),
    restore(answer) {
      field.value = answer.text;
      counted();
    },
    missing: () => (field.value.trim() ? null : "Write the response first; e goes into the field."),
  };
}
