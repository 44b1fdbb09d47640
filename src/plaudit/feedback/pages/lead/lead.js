/* The leads' page: one view for each part of the address behind #. */
import { Unreachable, request, session, signOut } from "../api.js";
import { announce, byId, el } from "../dom.js";
import { agreementView } from "./agreement.js";
import { dataView } from "./data.js";
import { eventsView } from "./events.js";
import { guidelinesView } from "./guidelines.js";
import { itemView, itemsView } from "./items.js";
import { peopleView } from "./people.js";
import { ratersView } from "./raters.js";

const project = decodeURIComponent(location.pathname.split("/")[2]);
const api = `/api/projects/${encodeURIComponent(project)}`;
const views = {
  agreement: { title: "Agreement", show: agreementView },
  raters: { title: "Raters", show: ratersView },
  items: { title: "Items", show: itemsView },
  people: { title: "People", show: peopleView },
  guidelines: { title: "Guidelines", show: guidelinesView },
  events: { title: "Events", show: eventsView },
  data: { title: "Data", show: dataView },
};
let asked = 0;

const signed = await session();
const role = signed.projects[project];
const allowed = role === "lead" ? Object.keys(views) : role === "adjudicator" ? ["items"] : [];
byId("sign-out").hidden = false;
byId("sign-out").addEventListener("click", signOut);
byId("project-title").textContent = project;
request("GET", api).then((found) => { byId("project-title").textContent = found.title; }, () => {});

byId("tabs").append(...allowed.map((name) => el("a", { href: `#${name}`, id: `tab-${name}` }, views[name].title)));
addEventListener("hashchange", show);
await show();

/* Only the view asked for last is shown, in whatever order answers come. */
async function show() {
  const mine = ++asked;
  const [name, number] = location.hash.slice(1).split("/");
  const chosen = allowed.includes(name) ? name : allowed[0];
  const place = byId("view");
  for (const link of byId("tabs").children) {
    if (link.id === `tab-${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  place.setAttribute("aria-busy", "true");
  fail("");
  if (!chosen) return fail("This page is for leads and adjudicators of the project.");
  const context = { api, project, role, rater: signed.rater, again: show, fail, attempt };
  try {
    const made = number ? await itemView(context, number) : await views[chosen].show(context);
    if (mine !== asked) return;
    place.replaceChildren(...[made].flat());
    announce(`${views[chosen].title} shown`);
  } catch (failure) {
    if (mine === asked) fail(words(failure));
  } finally {
    if (mine === asked) place.setAttribute("aria-busy", "false");
  }
}

/* Does something and shows the view anew; says so where it was refused. */
async function attempt(action, then = show) {
  fail("");
  try {
    const result = await action();
    await then(result);
  } catch (failure) {
    fail(words(failure));
  }
}

function words(failure) {
  if (failure instanceof Unreachable) return "The server cannot be reached. Try again in a moment.";
  if (failure.status === undefined) throw failure;
  return failure.message;
}

function fail(message) {
  byId("fault").textContent = message;
  byId("fault").hidden = !message;
  if (message) byId("fault").scrollIntoView({ block: "nearest" });
}
