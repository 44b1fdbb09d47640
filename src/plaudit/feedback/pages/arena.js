/* The arena: a prompt of one's own, answered twice, then judged. */
import { Refused, Unreachable } from "./api.js";
import { announce, el } from "./dom.js";

export function arena(api, show) {
  const field = el("textarea", {
    rows: 4, dir: "auto", required: true, maxLength: 20000, placeholder: "Ask anything you would really ask.",
  });
  const fault = el("p", { class: "notice bad", role: "alert", hidden: true });
  const send = el("button", { class: "primary" }, "Ask twice");
  return el("form", { class: "arena", async onsubmit(event) {
    event.preventDefault();
    fault.hidden = true;
    send.disabled = true;
    announce("Waiting for two answers.");
    send.textContent = "Waiting for two answers …";
    try {
      show(await api("POST", "/arena", { prompt: field.value.trim() }));
    } catch (failure) {
      if (!(failure instanceof Refused || failure instanceof Unreachable)) throw failure;
      fault.textContent = failure.message;
      fault.hidden = false;
    } finally {
      send.disabled = false;
      send.textContent = "Ask twice";
    }
  } },
    el("label", { class: "field" }, el("span", {}, "Your prompt"), field), fault, send);
}

/* The form as a page of its own, where there is nothing else to judge. */
export function arenaPage(form, undo) {
  return el("div", { class: "centred" }, el("h1", {}, "Ask the model"),
    el("p", { class: "soft" }, "It answers twice; you say which answer is better."), form,
    el("p", { class: "rows" }, el("button", { type: "button", onclick: undo }, "Undo the last")));
}
