/* A dialog that asks for one line, or for a word to be typed; null where it was left. */
import { el } from "../dom.js";

export function ask({ title, text, label, go, expected }) {
  return new Promise((resolve) => {
    const field = el("input", { type: "text", maxLength: 2000, required: true, autocomplete: "off" });
    const send = el("button", { class: "primary", disabled: true }, go);
    field.addEventListener("input", () => {
      send.disabled = expected ? field.value !== expected : !field.value.trim();
    });
    const form = el("form", { method: "dialog" }, el("h2", {}, title), el("p", {}, text),
      el("label", { class: "field" }, el("span", {}, label), field),
      el("div", { class: "actions" },
        el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), send));
    const dialog = el("dialog", { "aria-label": title }, form);
    form.addEventListener("submit", () => dialog.close(field.value.trim()));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

/* Shows a token once. */
export function showOnce(title, text, secret) {
  const link = `${location.origin}/sign-in#${secret}`;
  const field = el("textarea", { readOnly: true, rows: 3, class: "secret", "aria-label": "Link" }, link);
  const copy = el("button", { type: "button", onclick: async () => { await navigator.clipboard.writeText(link); copy.textContent = "Copied"; } }, "Copy");
  const dialog = el("dialog", { "aria-label": title }, el("div", {}, el("h2", {}, title), el("p", {}, text), field,
    el("div", { class: "actions" }, navigator.clipboard ? copy : null,
      el("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Done"))));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { dialog.remove(); resolve(); });
    dialog.showModal();
    field.select();
  });
}
