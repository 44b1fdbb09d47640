/* What opens over the task: guidelines, keys, skipping, flagging, one's own progress. */
import { el, key, rendered } from "./dom.js";
import { singleKeys } from "./keys.js";

function open(element, { close: closing = null } = {}) {
  document.body.append(element);
  element.addEventListener("close", () => element.remove());
  element.addEventListener("click", (event) => { if (event.target === element) element.close(); });
  element.addEventListener("keydown", (event) => {
    const typing = event.target.closest("textarea, input[type=text], input[type=number]");
    if (!typing && event.key === closing) { element.close(); event.preventDefault(); }
  });
  element.showModal();
  return element;
}

const closeButton = () =>
  el("button", { type: "button", class: "plain", onclick: (e) => e.target.closest("dialog").close() }, "Close ", key("Esc"));

export function guidelines(project) {
  const { version, html } = project.guideline;
  open(el("dialog", { class: "side", "aria-labelledby": "guidelines-title" }, el("div", {},
    el("h2", { id: "guidelines-title" }, "Guidelines"),
    el("p", { class: "soft small" }, version ? `Version ${version}` : "None are written yet."),
    rendered(html ?? ""),
    el("div", { class: "actions" }, closeButton()))), { close: "g" });
}

export function help(rows) {
  const toggle = el("input", {
    type: "checkbox", checked: singleKeys.on,
    onchange: (event) => { singleKeys.on = event.target.checked; },
  });
  open(el("dialog", { "aria-labelledby": "help-title" }, el("div", {},
    el("h2", { id: "help-title" }, "Keys"),
    el("dl", { class: "keys" }, rows.map(([names, meaning]) =>
      el("div", {}, el("dt", {}, names.map((name) => el("kbd", {}, name))), el("dd", {}, meaning)))),
    el("label", { class: "check" }, toggle,
      " Single letters and digits are keys. Without them, Ctrl+Enter still submits."),
    el("div", { class: "actions" }, closeButton()))), { close: "?" });
}

/* Resolves with {reason, note}, or null where it was closed. */
export function skip(reasons) {
  return choose({
    title: "Skip this task", lead: "Why can it not be judged? A skip is never counted as a tie.",
    submit: "Skip", reasons, type: "radio", first: [],
  }).then((found) => found && { reason: found.chosen[0], note: found.note });
}

/* Resolves with the flags that stand, or null where it was closed. */
export function flag(reasons, flags) {
  return choose({
    title: "Flag this task", lead: "The flags go with your answer; the leads will look at it.",
    submit: "Set the flags", reasons, type: "checkbox", first: flags, noNote: true,
  }).then((found) => found && found.chosen);
}

const TITLES = {
  unclear: "The prompt is unclear", harmful: "Harmful or distressing", personal_data: "Personal data",
  wrong_language: "A language I do not read well", identical: "The answers are the same",
  needs_expert: "It needs an expert", other: "Something else", factual_error: "An error of fact",
  model_named: "A text says which model wrote it",
};
const titleOf = (name) => TITLES[name] ?? name.replaceAll("_", " ");

function choose({ title, lead, submit, reasons, type, first, noNote }) {
  return new Promise((resolve) => {
    let result = null;
    const inputs = reasons.map((name, index) => el("input", {
      type, name: "reason", value: name, checked: first.includes(name),
      required: type === "radio", autofocus: index === 0,
    }));
    const note = el("textarea", { rows: 2, maxLength: 2000, "aria-label": "Note", placeholder: "Anything to add? (optional)" });
    const form = el("form", { onsubmit(event) {
      event.preventDefault();
      result = { chosen: inputs.filter((i) => i.checked).map((i) => i.value), note: note.value.trim() };
      dialog.close();
    } },
      el("h2", { id: "choose-title" }, title), el("p", { class: "soft" }, lead),
      el("div", { class: "choices" }, reasons.map((reason, index) =>
        el("label", {}, inputs[index], titleOf(reason), index < 9 && key(String(index + 1))))),
      noNote ? null : note,
      el("div", { class: "actions" }, closeButton(), el("button", { class: "primary" }, `${submit} `, key("⏎"))));
    form.addEventListener("keydown", (event) => {
      const input = /^[1-9]$/.test(event.key) && inputs[Number(event.key) - 1];
      if (event.target === note || !input) return;
      input.checked = type === "radio" || !input.checked;
      input.focus();
      event.preventDefault();
    });
    const dialog = el("dialog", { "aria-labelledby": "choose-title" }, form);
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input")) { form.requestSubmit(); event.preventDefault(); }
    });
    dialog.addEventListener("close", () => resolve(result));
    open(dialog);
  });
}

function declining(choices, decline) {
  if (!choices.length) return null;
  const boxes = choices.map((choice) => el("input", { type: "checkbox", value: choice.title, checked: choice.is_declined }));
  const said = el("p", { class: "soft", role: "status" });
  const chosen = () => decline(boxes.filter((box) => box.checked).map((box) => box.value))
    .then(() => { said.textContent = "Kept."; }, (failure) => { said.textContent = failure.message; });
  return el("fieldset", { class: "declining", onchange: chosen },
    el("legend", {}, "I would rather not see"),
    ...choices.map((choice, place) => el("label", { class: "check" }, boxes[place], " ", choice.title)), said);
}

export function progress(mine, goal, setGoal, decline) {
  const figure = (value, name) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)));
  const field = el("input", {
    type: "number", min: 1, max: 1000, value: String(goal),
    oninput: () => { if (field.checkValidity() && field.value) setGoal(Number(field.value)); },
  });
  return open(el("dialog", { "aria-labelledby": "progress-title" }, el("div", {},
    el("h2", { id: "progress-title" }, "Your progress"),
    el("dl", { class: "figures" },
      figure(mine.judged_today, "judged today"), figure(mine.judged, "judged in all"),
      figure(mine.skipped, "skipped"),
      figure(mine.median_seconds === null ? "–" : `${Math.round(mine.median_seconds)} s`, "median time")),
    el("label", { class: "field goal" }, el("span", {}, "Goal of a day"), field),
    declining(mine.may_decline, decline),
    el("div", { class: "actions" }, closeButton()))));
}

/* ``form`` closes it by taking the rater to what came of it. */
export function ask(form) {
  return open(el("dialog", { "aria-labelledby": "ask-title" }, el("div", {},
    el("h2", { id: "ask-title" }, "Ask the model"),
    el("p", { class: "soft" }, "It answers twice; you say which answer is better. What you have open waits."),
    form, el("div", { class: "actions" }, closeButton()))));
}

/* Before anything is shown. Resolves when the rater goes on. */
export function contentGate(place, project, choices, decline) {
  return new Promise((resolve) => {
    const go = el("button", { type: "button", class: "primary", onclick: () => { gate.remove(); resolve(); } }, "I understand; go on");
    const gate = el("div", { class: "centred" },
      el("h1", {}, "Before you begin"), el("p", { class: "notice" }, project.content_warning),
      declining(choices, decline),
      el("p", {}, project.blur
        ? "Texts are blurred until you press v. You may skip any task, and stop at any time."
        : "You may skip any task, and stop at any time."),
      el("p", { class: "rows" }, go, " ", el("a", { class: "button", href: "/" }, "Not today")));
    place.replaceChildren(gate);
    go.focus();
  });
}
