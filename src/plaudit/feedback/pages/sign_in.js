/* A token comes behind the # of a link, which browsers send to nobody; it is taken out of the
   address before anything else happens. */
import { Unreachable, signIn } from "./api.js";
import { byId, el } from "./dom.js";

const ask = byId("sign-in");
const to = new URLSearchParams(location.search).get("to") ?? "/";
const within = /^\/(?![/\\])/.test(to) ? to : "/";

const linked = decodeURIComponent(location.hash.slice(1));
if (linked) {
  history.replaceState(null, "", location.pathname + location.search);
  byId("token").value = linked;
}

ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fault = byId("fault");
  fault.hidden = true;
  try {
    const token = byId("token").value.trim().split("#").pop();
    const found = await signIn(token, byId("name").value.trim());
    if (found.token) show(found.token);
    else location.replace(within);
  } catch (failure) {
    fault.textContent = failure instanceof Unreachable
      ? "The server cannot be reached. Try again in a moment."
      : `That did not work: ${failure.message}`;
    fault.hidden = false;
  }
});

/* Shown once to who has just joined: their own token, for another browser or another day. */
function show(token) {
  const field = el("input", {
    type: "text", readOnly: true, value: token, id: "own-token", "aria-label": "Your own token",
  });
  const go = el("a", { class: "button primary", href: within }, "Begin");
  ask.replaceWith(el("div", { class: "field" },
    el("p", { class: "notice good", role: "status" },
      "Welcome. This is your own token: keep it to sign in elsewhere. It is shown only now."),
    field, el("p", {}, go)));
  go.focus();
}
