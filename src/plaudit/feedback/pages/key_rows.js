/* What the help says, by kind of question. */

const ANSWERS = {
  pairwise: [[["←", "→"], "A or B is better; again: by more"], [["1–7"], "from A much better to B much better"],
    [["="], "a tie"], [["b"], "both are bad"]],
  ranking: [[["↑", "↓"], "choose an answer"], [["⇧↑", "⇧↓"], "move it up or down"], [["1–9"], "put it at that place"],
    [["="], "same rank as the one above"], [["c"], "confirm the order as it is"]],
  rating: [[["0–9"], "the mark"], [["x"], "cannot say"]],
  label: [[["1–9"], "the label"]],
  demonstration: [[["e"], "into the field"], [["Ctrl+⏎"], "submit from the field"]],
  steps: [[["1"], "right"], [["2"], "neutral"], [["3"], "wrong"]],
  red_team: [[["0–4"], "how far it got through"], [["x"], "cannot say"]],
};

export function keyRows(question) {
  return [
    ...(question ? ANSWERS[question.kind] : []),
    [["↑", "↓"], "to the row above or below"],
    [["⏎"], "submit, and on to the next"],
    [["s"], "skip, with a reason"], [["f"], "flag"], [["u"], "undo the last one"], [["n"], "write a note"],
    [["Esc"], "leave a field or a panel"],
    [["g"], "guidelines"], [["r"], "raw text"], [["d"], "differences"], [["t"], "scroll together"],
    [["v"], "show blurred texts"], [["?"], "this list"],
  ];
}
