/* An order of all candidates. Nothing counts until the rater has changed or confirmed it. */
import { announce, el, key } from "../dom.js";
import { letter } from "../view.js";

export function ranking(question, assignment, changed, view) {
  const places = assignment.candidates.map((_, place) => place);
  let order = [...places];
  let tied = new Set(); // places that share the rank of the one above them
  let settled = false;
  const cards = places.map((place) => card(place));
  const list = el("ol", { class: "ranking", "aria-label": question.title });
  const confirm = el("button", { type: "button", onclick: () => settle("Order confirmed") },
    "This order is right ", key("c"));
  const state = el("p", { class: "soft small" });

  function card(place) {
    const move = (by) => () => shift(place, by);
    const rank = el("span", { class: "rank" });
    const element = el("li", { class: "ranked card", tabIndex: 0 },
      el("div", { class: "ranked-head" }, rank, el("h3", {}, letter(place)),
        el("span", { class: "push" }),
        button("Up", "⇧↑", move(-1)), button("Down", "⇧↓", move(1)),
        question.tie ? button("Same as above", "=", () => tie(place)) : null),
      view.bodies[place]);
    return { element, rank };
  }

  function button(text, name, onclick) {
    return el("button", { type: "button", class: "plain small", onclick }, text, key(name));
  }

  function ranks() {
    const found = [];
    let rank = 0;
    for (const place of order) {
      if (!tied.has(place)) rank += 1;
      found[place] = rank;
    }
    return found;
  }

  function settle(said) {
    settled = true;
    draw();
    changed(said);
  }

  function shift(place, by) {
    const from = order.indexOf(place);
    const to = Math.min(Math.max(from + by, 0), order.length - 1);
    if (to === from) return;
    const heir = order[from + 1];
    if (!tied.has(place)) tied.delete(heir); // the next of its equals now stands for them
    tied.delete(place);
    order.splice(from, 1);
    order.splice(to, 0, place);
    if (tied.has(order[to + 1])) tied.add(place); // put between equals, it is one of them
    tied.delete(order[0]);
    settle(`${letter(place)} is now at place ${to + 1}`);
    cards[place].element.focus();
  }

  function tie(place) {
    if (!question.tie || order[0] === place) return;
    if (!tied.delete(place)) tied.add(place);
    settle(`${letter(place)} ${tied.has(place) ? "has the rank of the one above" : "has a rank of its own"}`);
  }

  function draw() {
    const found = ranks();
    list.replaceChildren(...order.map((place) => cards[place].element));
    for (const place of places) {
      cards[place].rank.textContent = settled ? found[place] : "·";
      cards[place].element.classList.toggle("tied", tied.has(place));
      cards[place].element.setAttribute("aria-label",
        settled ? `${letter(place)}, rank ${found[place]}` : `${letter(place)}, not ranked`);
    }
    confirm.hidden = settled;
    state.textContent = settled ? `Best first: ${said()}`
      : "Best first. The order shown is by chance and counts only once you change or confirm it.";
  }

  function said() {
    return order.map((place, index) => (index === 0 ? "" : tied.has(place) ? " = " : " > ") + letter(place)).join("");
  }

  const at = (index) => cards[order[index]];
  /* The cards change places, so the list takes the keys of all of them. */
  const focused = () => order.find((place) => cards[place].element.contains(document.activeElement));
  function take(name, event) {
    if (name === "c" && !settled) { settle("Order confirmed"); return true; }
    const place = focused() ?? order[0];
    const index = order.indexOf(place);
    if (name === "ArrowUp" || name === "ArrowDown") {
      const by = name === "ArrowUp" ? -1 : 1;
      if (event.shiftKey) { shift(place, by); return true; }
      const next = focused() === undefined ? 0 : index + by;
      if (next >= order.length || next < 0) return false;
      at(next).element.focus();
      announce(at(next).element.getAttribute("aria-label"));
      return true;
    }
    if (name === "=") { tie(place); return true; }
    if (/^[1-9]$/.test(name) && Number(name) <= order.length) {
      shift(place, Number(name) - 1 - index);
      return true;
    }
    return false;
  }

  draw();
  return {
    element: el("div", { class: "ranking-answer" }, state, list, confirm),
    stops: [{ element: list, focus: () => at(0).element.focus(), take }],
    said: () => (settled ? said() : ""),
    answer: () => (settled ? { kind: "ranking", ranks: ranks() } : null),
    restore(answer) {
      order = [...places].sort((a, b) => answer.ranks[a] - answer.ranks[b] || a - b);
      tied = new Set(order.filter((place, i) => i && answer.ranks[place] === answer.ranks[order[i - 1]]));
      settled = true;
      draw();
    },
    missing: () => (settled ? null : "Change the order, or confirm it with c."),
  };
}
