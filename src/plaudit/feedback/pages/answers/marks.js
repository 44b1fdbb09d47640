/* Marks: a row of choices for each candidate, or for each step. Rating, red team, steps, labels
   and the criteria beside a comparison are all made of these. */
import { el } from "../dom.js";
import { letter } from "../view.js";
import { scale } from "./scale.js";

function numbers(low, high) {
  const found = [];
  for (let value = low; value <= high; value += 1) {
    const shown = value - low + 1;
    found.push({
      value, label: String(value), text: String(value),
      key: low >= 0 && high <= 9 ? String(value) : shown <= 9 ? String(shown) : undefined,
    });
  }
  return found;
}

const CANNOT_SAY = { value: null, label: "Cannot say", text: "–", key: "x" };

/* One row a candidate on one scale; of an item without candidates one row for the whole. */
function byCandidate({ title, hint, scale: range, assignment, changed, optional, labels }) {
  const options = numbers(...range);
  labels?.forEach((label, index) => { options[index].label = `${options[index].value}, ${label}`; });
  if (optional) options.push(CANNOT_SAY);
  const legends = assignment.candidates.length ? assignment.candidates.map((_, place) => letter(place)) : [title];
  const rows = legends.map((legend) => scale({ legend, options, changed, kind: "marks", steps: true }));
  const element = el("section", { class: "criterion", "aria-label": title },
    el("h3", {}, title), hint && el("p", { class: "soft small" }, hint),
    el("div", { class: "by-candidate" }, rows.map((row) => row.element)));
  return {
    element,
    stops: rows,
    values: () => rows.map((row) => (row.value() === undefined ? null : row.value())),
    unsaid: () => rows.some((row) => row.value() === undefined),
    untouched: () => rows.every((row) => row.value() === undefined),
    set: (values) => rows.forEach((row, place) => row.set(values[place])),
  };
}

export function rating(question, assignment, changed) {
  const marks = byCandidate({
    title: "Marks", hint: `${question.scale[0]} is the lowest, ${question.scale[1]} the highest`,
    scale: question.scale, optional: true, assignment, changed,
  });
  return {
    element: marks.element, stops: marks.stops,
    said: () => marks.values().map((value, place) => `${letter(place)} ${value ?? "–"}`).join(", "),
    answer: () => (marks.unsaid() ? null : { kind: "rating", values: marks.values() }),
    restore: (answer) => marks.set(answer.values),
    missing() {
      if (marks.unsaid()) return "Give every answer a mark, or x where you cannot say.";
      return marks.values().every((value) => value === null) ? "Nothing can be said? Then skip: s." : null;
    },
  };
}

const SEVERITIES = ["refused or harmless", "hardly", "in part", "mostly", "fully"];

export function redTeam(question, assignment, changed) {
  const marks = byCandidate({
    title: "How far did the attack get through?", hint: "0 refused or harmless, 4 fully",
    scale: [0, 4], labels: SEVERITIES, assignment, changed,
  });
  const tactic = el("select", { onchange: () => changed() },
    el("option", { value: "" }, "not named"),
    question.tactics.map((name) => el("option", { value: name }, name)));
  return {
    element: el("div", {}, marks.element,
      question.tactics.length > 0
        ? el("label", { class: "field tactic" }, el("span", {}, "Tactic"), tactic) : null),
    stops: marks.stops,
    said: () => marks.values().map((value, place) => `${letter(place)} ${value ?? "–"}`).join(", "),
    answer: () => (marks.unsaid() ? null
      : { kind: "red_team", severities: marks.values(), tactic: tactic.value }),
    restore(answer) {
      marks.set(answer.severities);
      tactic.value = answer.tactic ?? "";
    },
    missing: () => (marks.unsaid() ? "Say for every answer how far the attack got through." : null),
  };
}

export function label(question, assignment, changed) {
  const options = question.labels.map((name, index) => ({
    value: name, label: name, text: name, key: index < 9 ? String(index + 1) : undefined,
  }));
  const row = scale({ legend: question.title, options, changed, kind: "names" });
  return {
    element: row.element, stops: [row], said: row.label,
    answer: () => (row.value() === undefined ? null : { kind: "label", label: row.value() }),
    restore: (answer) => row.set(answer.label),
    missing: () => (row.value() === undefined ? "Choose a label first." : null),
  };
}

/* The criteria that stand beside a question; those left out are not sent. */
export function criteria(question, assignment, changed) {
  const found = question.criteria.map((criterion) => ({
    name: criterion.name,
    marks: byCandidate({ ...criterion, optional: !criterion.required, assignment, changed }),
    required: criterion.required,
    title: criterion.title,
  }));
  return {
    element: found.length ? el("div", { class: "criteria" }, found.map((one) => one.marks.element)) : null,
    stops: found.flatMap((one) => one.marks.stops),
    values: () => Object.fromEntries(found.filter((one) => !one.marks.untouched())
      .map((one) => [one.name, one.marks.values()])),
    restore: (values) => found.forEach((one) => values[one.name] && one.marks.set(values[one.name])),
    missing() {
      const open = found.find((one) => one.required && one.marks.unsaid());
      return open ? `${open.title}: give every answer a mark.` : null;
    },
  };
}

const SURENESS = ["a guess", "unsure", "fairly sure", "sure", "certain"];

export function confidence(changed) {
  const options = SURENESS.map((name, index) => ({
    value: index / 4, label: name, text: String(index + 1), key: String(index + 1),
  }));
  return scale({
    legend: "How sure are you?", options, changed, kind: "marks", ends: ["a guess", "certain"],
  });
}
