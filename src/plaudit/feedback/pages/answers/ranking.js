/* An order of all candidates. Nothing counts until the rater has changed or confirmed it. */
import { announce, el, key } from "../dom.js";
import { letter } from "../view.js";

const UNSETTLED = "Best first. The order shown is by chance and counts only once you change or confirm it.";

export function ranking(question, assignment, changed, view) {
  const order = new Order(question, assignment.candidates.length, changed, view);
  return {
    element: order.element,
    stops: [{ element: order.list, focus: () => order.focus(0), take: (...key) => order.take(...key) }],
    said: () => (order.settled ? order.said() : ""),
    answer: () => (order.settled ? { kind: "ranking", ranks: order.ranks() } : null),
    restore: (answer) => order.restore(answer.ranks),
    missing: () => (order.settled ? null : "Change the order, or confirm it with c."),
  };
}

class Order {
  constructor(question, many, changed, view) {
    this.question = question;
    this.changed = changed;
    this.order = Array.from({ length: many }, (_, place) => place);
    this.tied = new Set(); // places that share the rank of the one above them
    this.settled = false;
    this.cards = this.order.map((place) => this.card(place, view.bodies[place]));
    this.list = el("ol", { class: "ranking", "aria-label": question.title });
    this.state = el("p", { class: "soft small" });
    this.confirm = el("button", { type: "button", onclick: () => this.settle("Order confirmed") },
      "This order is right ", key("c"));
    this.element = el("div", { class: "ranking-answer" }, this.state, this.list, this.confirm);
    this.draw();
  }

  card(place, body) {
    const button = (text, name, onclick) =>
      el("button", { type: "button", class: "plain small", onclick }, text, key(name));
    const rank = el("span", { class: "rank" });
    const element = el("li", { class: "ranked card", tabIndex: 0 },
      el("div", { class: "ranked-head" }, rank, el("h3", {}, letter(place)), el("span", { class: "push" }),
        button("Up", "⇧↑", () => this.shift(place, -1)), button("Down", "⇧↓", () => this.shift(place, 1)),
        this.question.tie ? button("Same as above", "=", () => this.tie(place)) : null),
      body);
    return { element, rank };
  }

  ranks() {
    const found = [];
    let rank = 0;
    for (const place of this.order) {
      if (!this.tied.has(place)) rank += 1;
      found[place] = rank;
    }
    return found;
  }

  said() {
    return this.order.map((place, index) =>
      (index === 0 ? "" : this.tied.has(place) ? " = " : " > ") + letter(place)).join("");
  }

  restore(ranks) {
    this.order.sort((a, b) => ranks[a] - ranks[b] || a - b);
    this.tied = new Set(this.order.filter((place, i) => i && ranks[place] === ranks[this.order[i - 1]]));
    this.settled = true;
    this.draw();
  }

  settle(said) {
    this.settled = true;
    this.draw();
    this.changed(said);
  }

  shift(place, by) {
    const from = this.order.indexOf(place);
    const to = Math.min(Math.max(from + by, 0), this.order.length - 1);
    if (to === from) return;
    if (!this.tied.has(place)) this.tied.delete(this.order[from + 1]); // it now stands for its equals
    this.tied.delete(place);
    this.order.splice(from, 1);
    this.order.splice(to, 0, place);
    if (this.tied.has(this.order[to + 1])) this.tied.add(place); // put between equals, it is one of them
    this.tied.delete(this.order[0]);
    this.settle(`${letter(place)} is now at place ${to + 1}`);
    this.focus(to);
  }

  tie(place) {
    if (!this.question.tie || this.order[0] === place) return;
    if (!this.tied.delete(place)) this.tied.add(place);
    const shares = this.tied.has(place);
    this.settle(`${letter(place)} ${shares ? "has the rank of the one above" : "has a rank of its own"}`);
    this.focus(this.order.indexOf(place));
  }

  draw() {
    const ranks = this.ranks();
    this.list.replaceChildren(...this.order.map((place) => this.cards[place].element));
    this.cards.forEach(({ element, rank }, place) => {
      rank.textContent = this.settled ? ranks[place] : "·";
      element.classList.toggle("tied", this.tied.has(place));
      element.setAttribute("aria-label",
        `${letter(place)}, ${this.settled ? `rank ${ranks[place]}` : "not ranked"}`);
    });
    this.confirm.hidden = this.settled;
    this.state.textContent = this.settled ? `Best first: ${this.said()}` : UNSETTLED;
  }

  focus(index) {
    this.cards[this.order[index]].element.focus();
  }

  /* Where the focus is among the cards, or -1. */
  at() {
    return this.order.findIndex((place) => this.cards[place].element.contains(document.activeElement));
  }

  take(name, event) {
    if (name === "c" && !this.settled) this.settle("Order confirmed");
    else if (name === "ArrowUp" || name === "ArrowDown") return this.step(name === "ArrowUp" ? -1 : 1, event.shiftKey);
    else if (name === "=") this.tie(this.order[Math.max(this.at(), 0)]);
    else if (/^[1-9]$/.test(name) && Number(name) <= this.order.length) {
      const index = Math.max(this.at(), 0);
      this.shift(this.order[index], Number(name) - 1 - index);
    } else return false;
    return true;
  }

  /* To the card above or below, or with it; past either end the key is not ours. */
  step(by, moves) {
    const index = this.at();
    if (moves) {
      this.shift(this.order[Math.max(index, 0)], by);
      return true;
    }
    const next = index < 0 ? 0 : index + by;
    if (next < 0 || next >= this.order.length) return false;
    this.focus(next);
    announce(this.cards[this.order[next]].element.getAttribute("aria-label"));
    return true;
  }
}
