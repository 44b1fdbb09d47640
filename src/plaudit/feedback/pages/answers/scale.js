/* One row of choices, of which one is taken: by its key, by the left and right keys, by a click. */
import { el, key } from "../dom.js";

let made = 0;

/* options: [{value, label, key, text}]; ``text`` is what stands under the point, the label is what
   it means. With ``steps``, an answer goes on to the next row; the last ``apart`` options stand
   behind the others, after the right end. */
export function scale({ legend, options, changed, kind = "points", steps = false, ends = null, apart = 0 }) {
  const group = `scale-${(made += 1)}`;
  const inputs = options.map((option) =>
    el("input", { type: "radio", name: group, onchange: () => changed(option.label) }));
  const points = options.map((option, index) =>
    el("label", { class: `point point-${index + 1}`, title: option.label },
      inputs[index],
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("span", { class: option.text === undefined ? "visually-hidden" : "text" },
        option.text ?? option.label),
      option.text !== undefined && option.text !== option.label
        && el("span", { class: "visually-hidden" }, ` ${option.label}`),
      option.key && key(option.key)));
  const element = el("fieldset", { class: `scale ${kind}` },
    el("legend", {}, legend),
    el("div", { class: "line" },
      ends && el("span", { class: "end from", "aria-hidden": "true" }, ends[0]),
      el("div", { class: "points" }, points.slice(0, points.length - apart)),
      ends && el("span", { class: "end to", "aria-hidden": "true" }, ends[1]),
      apart > 0 && el("div", { class: "apart" }, points.slice(-apart))));

  const at = () => inputs.findIndex((input) => input.checked);
  const choose = (index) => {
    inputs[index].checked = true;
    if (element.contains(document.activeElement)) inputs[index].focus();
    changed(options[index].label);
  };
  return {
    element,
    value: () => (at() < 0 ? undefined : options[at()].value),
    label: () => (at() < 0 ? "" : options[at()].label),
    set(value) {
      inputs.forEach((input, index) => { input.checked = options[index].value === value; });
    },
    isOff: () => inputs[0].disabled,
    disable(off) {
      inputs.forEach((input) => { input.disabled = off; });
      element.classList.toggle("off", off);
    },
    focus: () => (inputs[Math.max(at(), 0)]).focus({ preventScroll: true }),
    steppedBy: (name) => steps && name !== "ArrowLeft" && name !== "ArrowRight",
    choose,
    at,
    take(name) {
      const index = options.findIndex((option) => option.key === name);
      if (index >= 0 && !inputs[index].disabled) {
        choose(index);
        return true;
      }
      if (name !== "ArrowLeft" && name !== "ArrowRight") return false;
      const by = name === "ArrowLeft" ? -1 : 1;
      const from = at() < 0 ? (by > 0 ? -1 : inputs.length) : at();
      choose(Math.min(Math.max(from + by, 0), inputs.length - 1));
      return true;
    },
  };
}
