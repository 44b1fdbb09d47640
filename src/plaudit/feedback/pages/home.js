/* The projects one is a member of. */
import { session, signOut } from "./api.js";
import { byId, el } from "./dom.js";

const found = await session();
byId("sign-out").hidden = false;
byId("sign-out").addEventListener("click", signOut);
const names = Object.keys(found.projects);
if (names.length === 0) byId("greeting").textContent = "You are a member of no project yet.";
for (const name of names) {
  const address = encodeURIComponent(name);
  const suspended = found.suspended.includes(name);
  byId("projects").append(el("li", { class: "card" },
    el("strong", {}, name),
    el("span", { class: "soft small" }, suspended ? "suspended" : found.projects[name]),
    el("span", { class: "push" }),
    found.projects[name] === "lead" && el("a", { class: "button", href: `/lead/${address}` }, "Overview"),
    !suspended && el("a", { class: "button primary", href: `/rate/${address}` }, "Judge"),
  ));
}
