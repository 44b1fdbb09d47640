/* One task on the page: what is judged, the answer, what stands beside it, and the row of actions. */
import { confidence, criteria, label, rating, redTeam } from "./answers/marks.js";
import { pairwise } from "./answers/pairwise.js";
import { ranking } from "./answers/ranking.js";
import { steps } from "./answers/steps.js";
import { writing } from "./answers/writing.js";
import { newId } from "./api.js";
import { Clock } from "./clock.js";
import { announce, el, key } from "./dom.js";
import { Stops } from "./stops.js";
import { View } from "./view.js";

const KINDS = { pairwise, ranking, rating, label, demonstration: writing, steps, red_team: redTeam };

/* Their answers show the texts themselves. */
const HOLD_THE_TEXTS = new Set(["ranking", "steps"]);

export class Task {
  constructor(assignment, project, draft, actions) {
    this.assignment = assignment;
    this.actions = actions;
    this.project = project;
    this.question = project.questions.find((question) => question.name === assignment.question);
    this.id = newId();
    this.clock = new Clock(draft?.active_seconds ?? 0);
    this.flags = draft?.flags ?? [];
    const changed = (said) => this.changed(said);
    const { kind } = this.question;
    this.view = new View(assignment, {
      blurred: project.blur, changed: () => this.showTools(),
      withCandidates: !HOLD_THE_TEXTS.has(kind) && assignment.candidates.length > 0,
    });
    this.answer = KINDS[kind](this.question, assignment, changed, this.view);
    this.criteria = criteria(this.question, assignment, changed);
    this.sureness = this.question.confidence ? confidence(changed) : null;
    this.stops = new Stops([...this.answer.stops, ...this.criteria.stops, ...(this.sureness ? [this.sureness] : [])]);
    this.build();
    if (draft) this.restore(draft);
    this.show();
    this.watching = true;
  }

  build() {
    this.rationale = el("textarea", {
      rows: 1, dir: "auto", maxLength: 10000, oninput: () => this.changed(),
      placeholder: this.question.rationale === "always" ? "Why?" : "Why? (optional)",
    });
    this.tools = el("div", { class: "tools" });
    this.said = el("output", { class: "said" });
    this.saved = el("span", { class: "soft small saved" });
    const asksWhy = this.question.rationale !== "never";
    this.element = el("div", {},
      el("header", { class: "question" },
        el("div", {}, el("h1", {}, this.question.title),
          this.question.hint ? el("p", { class: "soft" }, this.question.hint) : null),
        this.tools),
      this.view.element,
      el("section", { class: "answer", "aria-label": "Your answer" },
        this.answer.element, this.criteria.element, this.sureness?.element,
        asksWhy ? el("label", { class: "field note" },
          el("span", {}, "Note ", key("n")), this.rationale) : null),
      this.actionRow());
  }

  actionRow() {
    const button = (text, name, action, properties = {}) =>
      el("button", { type: "button", onclick: action, ...properties }, `${text} `, key(name));
    this.flagButton = button("Flag", "f", () => this.actions.flag(), { class: "plain" });
    this.submitButton = button("Submit", "⏎", () => this.actions.submit(), { class: "primary" });
    return el("footer", { class: "actions-row" },
      el("div", { class: "left" }, button("Undo", "u", () => this.actions.undo(), { class: "plain" }),
        button("Skip", "s", () => this.actions.skip(), { class: "plain" }), this.flagButton),
      this.saved, this.said, this.submitButton);
  }

  showTools() {
    if (!this.tools) return; // the view draws itself once before there are any
    const tool = (text, name, pressed, action) =>
      el("button", { type: "button", class: "plain", "aria-pressed": String(pressed), onclick: action }, `${text} `, key(name));
    const focused = [...this.tools.children].indexOf(document.activeElement);
    this.tools.replaceChildren(...[
      this.view.blurred && tool("Show the texts", "v", false, () => this.view.unblur()),
      tool("Raw", "r", this.view.raw, () => this.view.toggleRaw()),
      this.view.canDiff && tool("Differences", "d", this.view.diffed, () => this.view.toggleDiff()),
      this.view.canScroll && tool("Scroll together", "t", this.view.together, () => this.view.toggleTogether()),
    ].filter(Boolean));
    this.tools.children[focused]?.focus();
  }

  changed(said) {
    this.show();
    if (said) announce(said);
    if (this.watching) this.actions.changed();
  }

  show() {
    this.said.textContent = this.answer.said();
    this.flagButton.classList.toggle("set", this.flags.length > 0);
    this.flagButton.firstChild.textContent = this.flags.length ? `Flagged (${this.flags.length}) ` : "Flag ";
    this.submitButton.setAttribute("aria-disabled", String(this.missing() !== null));
    this.showTools();
  }

  setFlags(flags) {
    this.flags = flags;
    this.changed(flags.length ? "Flags set" : "No flags");
  }

  missing() {
    const rule = this.question.rationale;
    const wanted = rule === "always" || (rule === "on_strong" && this.answer.isStrong?.());
    return this.answer.missing() ?? this.criteria.missing()
      ?? (wanted && !this.rationale.value.trim() ? "Say why first: n goes to the note." : null);
  }

  draft() {
    return {
      answer: this.answer.answer(), criteria: this.criteria.values(),
      rationale: this.rationale.value, flags: this.flags,
      confidence: this.sureness?.value() ?? null, active_seconds: this.clock.seconds,
    };
  }

  judgment() {
    return {
      ...this.draft(), id: this.id, assignment: this.assignment.id,
      rationale: this.rationale.value.trim(), confirmed: this.question.kind === "ranking", next: true,
    };
  }

  restore(draft) {
    if (draft.answer) this.answer.restore(draft.answer);
    if (draft.criteria) this.criteria.restore(draft.criteria);
    this.rationale.value = draft.rationale ?? "";
    if (draft.confidence !== null && draft.confidence !== undefined) this.sureness?.set(draft.confidence);
  }

  busy(is) {
    this.submitButton.disabled = is;
    this.element.inert = is;
  }

  end() {
    this.clock.stop();
  }
}
