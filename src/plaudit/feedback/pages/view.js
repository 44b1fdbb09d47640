/* What is judged, as it is read: the prompt, the candidates side by side, raw, compared, unblurred.
   Where an answer holds the texts itself (an order, steps), it puts these bodies where it wants. */
import { marked } from "./diff.js";
import { el, rendered } from "./dom.js";

export const letter = (place) => String.fromCharCode(65 + place);

const settings = { raw: false, together: true };

export class View {
  constructor(assignment, { blurred, withCandidates, changed }) {
    this.assignment = assignment;
    this.blurred = blurred;
    this.diffed = false;
    this.changed = changed;
    const body = () => el("div", { class: "body" });
    this.promptBody = body();
    this.bodies = assignment.candidates.map(body);
    this.steps = assignment.steps.map(body);
    this.prompt = el("article", { class: "card prompt", "aria-label": "Prompt" },
      el("header", {}, el("h2", {}, "Prompt")), this.promptBody);
    this.candidates = el("div", { class: `candidates of-${assignment.candidates.length}` },
      withCandidates && this.bodies.map((body, place) => el("article", { class: "card candidate" },
        el("header", {}, el("h2", {}, this.bodies.length > 1 ? letter(place) : "Response")), body)));
    this.element = el("div", { class: "view" }, this.prompt, withCandidates ? this.candidates : null);
    this.isSideBySide = withCandidates && this.bodies.length === 2;
    if (this.isSideBySide) scrollTogether(this.bodies);
    this.draw();
  }

  get canDiff() { return this.isSideBySide; }
  get canScroll() { return this.canDiff && this.bodies.some((body) => body.scrollHeight > body.clientHeight + 1); }
  get raw() { return settings.raw; }
  get together() { return settings.together; }

  toggleRaw() { settings.raw = !settings.raw; this.diffed = false; this.draw(); }
  toggleTogether() { settings.together = !settings.together; this.changed(); }
  unblur() { this.blurred = false; this.draw(); }
  toggleDiff() {
    if (!this.canDiff) return false;
    this.diffed = !this.diffed;
    this.draw();
    return true;
  }

  draw() {
    const shown = [this.assignment.prompt, ...this.assignment.candidates, ...this.assignment.steps];
    const compared = this.diffed ? marked(shown[1].text, shown[2].text) : null;
    [this.promptBody, ...this.bodies, ...this.steps].forEach((body, index) => {
      const content = compared && index > 0 ? compared[index - 1] : null;
      body.replaceChildren(this.body(shown[index], content, compared === null && this.diffed && index > 0));
      body.classList.toggle("blurred", this.blurred);
      body.inert = this.blurred;
    });
    this.changed();
  }

  body(text, content, tooLong) {
    if (content) return el("pre", { class: "raw", dir: "auto" }, content);
    if (settings.raw || tooLong) {
      const note = tooLong ? el("p", { class: "notice" }, "Too long to compare word by word.") : null;
      return el("div", {}, note, el("pre", { class: "raw", dir: "auto" }, text.text));
    }
    return rendered(text.html);
  }
}

/* Each panel follows the other by the share of its height that has gone by. */
function scrollTogether(bodies) {
  let led = null;
  bodies.forEach((body, index) => body.addEventListener("scroll", () => {
    if (!settings.together || (led !== null && led !== index)) return;
    led = index;
    const other = bodies[1 - index];
    const share = body.scrollTop / Math.max(body.scrollHeight - body.clientHeight, 1);
    other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    clearTimeout(body.settling);
    body.settling = setTimeout(() => { led = null; }, 120);
  }, { passive: true }));
}
