/* A verdict on each step of a response. */
import { el } from "../dom.js";
import { scale } from "./scale.js";

const VERDICTS = [
  { value: "right", label: "Right", text: "✓ right", key: "1" },
  { value: "neutral", label: "Neutral", text: "○ neutral", key: "2" },
  { value: "wrong", label: "Wrong", text: "✗ wrong", key: "3" },
];

export function steps(question, assignment, changed, view) {
  const settle = (said) => {
    if (question.stop_at_first_wrong) close();
    changed(said);
  };
  const rows = assignment.steps.map((step, index) =>
    scale({ legend: `Step ${index + 1}`, options: VERDICTS, changed: settle, kind: "verdicts", steps: true }));
  /* After the first wrong step nothing is asked: what follows from a mistake is neither. */
  const close = () => {
    const wrong = rows.findIndex((row) => row.value() === "wrong");
    rows.forEach((row, index) => {
      const off = wrong >= 0 && index > wrong;
      if (off) row.set(undefined);
      row.disable(off);
    });
  };
  const asked = () => rows.filter((row) => !row.element.classList.contains("off"));
  const element = el("ol", { class: "steps" }, rows.map((row, index) =>
    el("li", {}, view.steps[index], row.element)));
  return {
    element, stops: rows,
    said: () => `${asked().filter((row) => row.value() !== undefined).length} of ${asked().length} steps`,
    answer() {
      if (asked().some((row) => row.value() === undefined)) return null;
      return { kind: "steps", labels: rows.map((row) => row.value() ?? null) };
    },
    restore(answer) {
      answer.labels.forEach((value, index) => rows[index].set(value ?? undefined));
      if (question.stop_at_first_wrong) close();
    },
    missing: () => (asked().some((row) => row.value() === undefined)
      ? "Say of every step whether it is right: 1 right, 2 neutral, 3 wrong." : null),
  };
}
