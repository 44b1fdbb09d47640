/* Answers in words, and the form in which an adjudicator gives one. Candidates are the item's own,
   in its own order. */
import { el } from "../dom.js";

const DEGREES = ["", "slightly better", "better", "much better"];
const letter = (place) => String.fromCharCode(65 + place);

export function inWords(answer) {
  switch (answer.kind) {
    case "pairwise":
      if (!answer.strength) return answer.both_bad ? "Both bad" : "About equal";
      return `${answer.strength < 0 ? "A" : "B"} ${DEGREES[Math.abs(answer.strength)]}`;
    case "ranking": return answer.ranks.map((rank, place) => `${letter(place)} ${rank}.`).join(", ");
    case "rating": return answer.values.map((value, place) => `${letter(place)} ${value ?? "–"}`).join(", ");
    case "red_team": return `${answer.severities.map((value, place) => `${letter(place)} ${value ?? "–"}`).join(", ")}${answer.tactic ? ` (${answer.tactic})` : ""}`;
    case "label": return answer.label;
    case "steps": return answer.labels.map((label, place) => `${place + 1} ${label ?? "–"}`).join(", ");
    case "demonstration": return answer.text;
    case "skip": return `Skipped: ${answer.reason}`;
    default: return "Taken back";
  }
}

/* `send({answer, confirmed, rationale})` is called with what was chosen. */
export function answerForm(item, question, send) {
  if (!question) return el("p", { class: "notice" }, "Its question is not in the project any more; it cannot be settled.");
  const read = fields(item, question);
  if (!read) return el("p", { class: "notice" }, "A written answer is not settled but edited: export it.");
  const rationale = el("textarea", { rows: 2, maxLength: 10000 });
  const form = el("form", { class: "field" }, read.shown,
    el("label", { class: "field" }, el("span", {}, "Why"), rationale),
    el("div", { class: "actions" }, el("button", { class: "primary" }, "Settle")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const answer = read.answer();
    const marks = read.criteria?.() ?? {};
    if (answer) send({ answer, criteria: marks, confirmed: true, rationale: question.rationale === "never" ? "" : rationale.value.trim() });
  });
  return form;
}

function fields(item, question) {
  switch (question.kind) {
    case "pairwise": return withCriteria(item, question, pairwise(question));
    case "label": return withCriteria(item, question, picked(question.labels.map((label) => [label, { kind: "label", label }])));
    case "rating": return withCriteria(item, question, numbered(item.candidates, question.scale, (values) => ({ kind: "rating", values })));
    case "red_team": return withCriteria(item, question, numbered(item.candidates, [0, 4], (severities) => ({ kind: "red_team", severities })));
    case "ranking": return withCriteria(item, question, numbered(item.candidates, [1, item.candidates.length], (ranks) => ({ kind: "ranking", ranks })));
    case "steps": return steps(item);
    default: return null;
  }
}

function pairwise(question) {
  const degrees = { 1: [2], 2: [2, 1], 3: [3, 2, 1] }[question.strengths];
  const towards = (side, sign) => degrees.map((degree) => [`${side} ${question.strengths === 1 ? "better" : DEGREES[degree]}`, { kind: "pairwise", strength: sign * degree }]);
  return picked([
    ...towards("A", -1),
    ...(question.tie ? [["About equal", { kind: "pairwise", strength: 0 }]] : []),
    ...(question.both_bad ? [["Both bad", { kind: "pairwise", strength: 0, both_bad: true }]] : []),
    ...towards("B", 1).toReversed(),
  ]);
}

function picked(options) {
  const shown = el("fieldset", { class: "choices" }, el("legend", { class: "visually-hidden" }, "Answer"),
    options.map(([text], number) => el("label", {}, el("input", { type: "radio", name: "answer", value: number, required: true }), text)));
  return { shown, answer: () => options[Number(shown.querySelector(":checked").value)][1] };
}

function numbered(places, [low, high], made) {
  const inputs = places.map(() => el("input", { type: "number", min: low, max: high, step: 1, required: true }));
  const shown = el("div", { class: "marks" }, inputs.map((input, place) =>
    el("label", {}, el("span", {}, `${letter(place)} (${low} to ${high})`), input)));
  return { shown, answer: () => made(inputs.map((input) => Number(input.value))) };
}

function withCriteria(item, question, main) {
  if (!question.criteria?.length) return main;
  const places = item.candidates.length ? item.candidates : [null];
  const asked = question.criteria.map((criterion) => [criterion, numbered(places, criterion.scale, (values) => values)]);
  for (const [criterion, own] of asked) {
    for (const input of own.shown.querySelectorAll("input")) input.required = criterion.required;
  }
  const filled = asked.map(([criterion, own]) => [criterion.name, own]);
  return {
    ...main,
    shown: el("div", {}, main.shown, asked.map(([criterion, own]) => el("fieldset", { class: "choices" }, el("legend", {}, criterion.title || criterion.name), own.shown))),
    criteria: () => Object.fromEntries(filled
      .filter(([, own]) => [...own.shown.querySelectorAll("input")].some((input) => input.value !== ""))
      .map(([name, own]) => [name, [...own.shown.querySelectorAll("input")].map((input) => (input.value === "" ? null : Number(input.value)))])),
  };
}

function steps(item) {
  const selects = item.steps.map(() => el("select", {}, ["right", "neutral", "wrong", "not judged"].map((label) => el("option", { value: label }, label))));
  const shown = el("div", { class: "marks" }, selects.map((select, place) => el("label", {}, el("span", {}, `Step ${place + 1}`), select)));
  return { shown, answer: () => ({ kind: "steps", labels: selects.map((select) => (select.value === "not judged" ? null : select.value)) }) };
}
