/* Which of two is better, and by how much; a tie and "both bad" are answers of their own. */
import { scale } from "./scale.js";

const DEGREES = {
  1: ["better"], 2: ["slightly better", "better"], 3: ["slightly better", "better", "much better"],
};

export function pairwise(question, assignment, changed) {
  const most = question.strengths;
  const allowed = Array.from({ length: 2 * most + 1 }, (_, index) => index - most)
    .filter((strength) => strength || question.tie);
  const options = allowed.map((strength, index) => ({
    value: strength, key: String(index + 1), label: meaning(strength, most),
  }));
  if (question.both_bad) options.push({ value: "bad", key: "b", label: "Both are bad", text: "Both bad" });
  const tie = options.findIndex((option) => option.value === 0);
  const row = scale({
    legend: question.title, options, changed, kind: `spread of-${allowed.length}`,
    ends: ["A is better", "B is better"], apart: question.both_bad ? 1 : 0,
  });
  const take = (name) => {
    if (name === "=" && tie >= 0) return row.take(options[tie].key);
    if (name === "ArrowLeft" || name === "ArrowRight") return shift(name === "ArrowLeft" ? -1 : 1);
    return row.take(name);
  };
  /* From the middle outwards, so that one key says which and the next how much. */
  const shift = (by) => {
    const now = row.value();
    const middle = now === undefined || now === "bad";
    const wanted = middle
      ? allowed.filter((s) => Math.sign(s) === by).sort((a, b) => Math.abs(a) - Math.abs(b))[0]
      : allowed[Math.min(Math.max(allowed.indexOf(now) + by, 0), allowed.length - 1)];
    row.choose(allowed.indexOf(wanted));
    return true;
  };
  return {
    element: row.element,
    stops: [{ ...row, take }],
    said: row.label,
    isStrong: () => Math.abs(Number(row.value())) === most,
    answer() {
      const value = row.value();
      if (value === undefined) return null;
      const bad = value === "bad";
      return { kind: "pairwise", strength: bad ? 0 : value, both_bad: bad };
    },
    restore: (answer) => row.set(answer.both_bad ? "bad" : answer.strength),
    missing: () => (row.value() === undefined ? "Say which is better first: ← or →, = for a tie." : null),
  };
}

function meaning(strength, most) {
  if (strength === 0) return "A tie";
  return `${strength < 0 ? "A" : "B"} is ${DEGREES[most][Math.abs(strength) - 1]}`;
}
