/* The rater's page: a task, its answer, the next task. */
import { Refused, Unreachable, request, session, signOut } from "./api.js";
import * as dialogs from "./dialogs.js";
import { announce, byId, el, releaseFocusAfterClicks } from "./dom.js";
import { Drafts } from "./drafts.js";
import { listen } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Task } from "./task.js";
import { keyRows } from "./key_rows.js";
import { arena, arenaPage } from "./arena.js";

const id = decodeURIComponent(location.pathname.split("/")[2]);
const address = encodeURIComponent(id);
const api = (method, path, body) => request(method, `/api/projects/${address}${path}`, body);
const place = byId("task");
const TASKS_BETWEEN_LOOKS = 10;
let project, mine, task = null, outbox, drafts, busy = false;

const actions = { submit, skip, flag, undo, changed: () => drafts.soon(task.assignment.id, () => task.draft()) };

async function start() {
  const who = await session();
  byId("sign-out").hidden = false;
  byId("sign-out").addEventListener("click", signOut);
  project = await api("GET", "");
  byId("project-title").textContent = project.title;
  document.title = `${project.title} · Plaudit`;
  drafts = new Drafts(address, (text) => { if (task) task.saved.textContent = text; });
  outbox = new Outbox(address, who.rater, showConnection);
  byId("guidelines-button").addEventListener("click", showGuidelines);
  byId("help-button").addEventListener("click", showKeys);
  byId("arena-button").addEventListener("click", ask);
  byId("arena-button").hidden = !project.arena;
  byId("progress-button").addEventListener("click", showProgress);
  releaseFocusAfterClicks(document.body);
  document.addEventListener("visibilitychange", lookForNewGuidelines);
  await readMine();
  await passGate();
  listen({ take, submit });
  await first();
}

async function passGate() {
  const slot = `plaudit.gate.${id}`;
  if (!project.content_warning || sessionStorage.getItem(slot) === project.content_warning) return;
  await dialogs.contentGate(place, project, mine.may_decline, decline);
  sessionStorage.setItem(slot, project.content_warning);
}

/* An answer that was on its way when the page was closed goes first. */
async function first() {
  const kept = outbox.kept();
  if (!kept) return next();
  place.replaceChildren(el("p", { class: "centred soft" }, "Sending your last answer …"));
  return settle(() => outbox.deliver(kept));
}

async function next() {
  return settle(() => api("GET", "/next"), true);
}

/* Ask for something that ends in the next task, and show that. */
async function settle(asked, again = false) {
  busy = true;
  task?.busy(true);
  try {
    const found = await asked();
    const given = found.next ?? found;
    await learn(given.assignment?.question);
    show(given);
  } catch (failure) {
    if (!(failure instanceof Refused || failure instanceof Unreachable)) throw failure;
    showFailure(failure, again);
  } finally {
    busy = false;
    task?.busy(false);
  }
}

/* A project may have been given further questions since the page was opened. */
async function learn(question) {
  const isKnown = () => question === undefined || project.questions.some((one) => one.name === question);
  if (!isKnown()) project = await api("GET", "");
  if (isKnown()) return;
  task?.end();
  task = null;
  throw new Refused(409, `The next task asks what the project no longer asks (${question}); tell its lead.`);
}

function show({ assignment, why }) {
  task?.end();
  task = null;
  if (!assignment) {
    place.replaceChildren(project.arena ? arenaPage(arena(api, show), undo) : done(why));
    announce(why);
    return;
  }
  task = new Task(assignment, project, drafts.of(assignment), actions);
  place.replaceChildren(task.element);
  task.showTools(); // some depend on how long the texts turn out
  scrollTo(0, 0);
  byId("main").focus({ preventScroll: true });
  announce(`Next task: ${task.question.title}`);
}

function done(why) {
  const again = el("button", { type: "button", class: "primary", onclick: next }, "Look again");
  return el("div", { class: "centred done" }, el("h1", {}, "Nothing more for now"), el("p", {}, why),
    el("p", { class: "rows" }, again, " ", el("button", { type: "button", onclick: undo }, "Undo the last")));
}

async function ask() {
  if (busy || !project.arena) return;
  await drafts.flush();
  const opened = dialogs.ask(arena(api, (found) => { opened.close(); show(found); }));
  opened.querySelector("textarea").focus();
}

async function submit() {
  if (busy || !task) return;
  const missing = task.missing();
  if (missing) return complain(missing);
  const body = task.judgment();
  drafts.drop(task.assignment.id);
  await settle(async () => {
    const found = await outbox.send("judgments", body);
    mine.judged_today += 1;
    showMine();
    if (mine.judged_today % TASKS_BETWEEN_LOOKS === 0) lookForNewGuidelines();
    return found;
  });
}

async function skip() {
  if (busy || !task) return;
  const found = await dialogs.skip(project.skip_reasons);
  if (!found) return;
  drafts.drop(task.assignment.id);
  await settle(() => outbox.send("skips", { assignment: task.assignment.id, ...found, next: true }));
}

async function flag() {
  if (busy || !task) return;
  const flags = await dialogs.flag(task.question.flags, task.flags);
  if (flags) task.setFlags(flags);
}

async function undo() {
  if (busy) return;
  await drafts.flush();
  await settle(async () => {
    const found = await api("POST", "/undo");
    if (found.assignment) drafts.drop(found.assignment.id);
    await readMine();
    return found;
  });
  if (task) task.saved.textContent = "Taken back; change it and submit again";
}

function complain(text) {
  task.said.textContent = text;
  task.said.classList.add("complaint");
  announce(text);
  task.said.addEventListener("animationend", () => task?.said.classList.remove("complaint"), { once: true });
}

const letters = {
  s: skip, f: flag, u: undo, g: showGuidelines, "?": showKeys,
  a: () => project.arena && task && ask(),
  n: () => task.rationale.isConnected && task.rationale.focus(),
  r: () => task.view.toggleRaw(), d: () => task.view.toggleDiff(),
  t: () => task.view.canScroll && task.view.toggleTogether(), v: () => task.view.unblur(),
};
const WITHOUT_TASK = new Set(["u", "g", "?"]);

function take(name, event) {
  if (busy) return false;
  if (task?.stops.take(name, event)) return true;
  if (!Object.hasOwn(letters, name) || !(task || WITHOUT_TASK.has(name))) return false;
  letters[name]();
  return true;
}

function showGuidelines() {
  byId("guidelines-button").firstChild.textContent = "Guidelines ";
  dialogs.guidelines(project);
}

/* A judgment is recorded under the guidelines of its day: who comes back is told of new ones. */
async function lookForNewGuidelines() {
  if (document.visibilityState !== "visible") return;
  const now = await api("GET", "").catch(() => project);
  if (now.guideline.version === project.guideline.version) return;
  project.guideline = now.guideline;
  byId("guidelines-button").firstChild.textContent = "New guidelines ";
  announce("The guidelines have changed. Press g to read them.");
}

function showKeys() {
  dialogs.help(keyRows(task?.question));
}

async function readMine() {
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  mine = await api("GET", `/me?since=${midnight}`);
  showMine();
}

function showMine() {
  const goal = goalOfDay();
  byId("progress-button").hidden = false;
  byId("progress-text").textContent = `${mine.judged_today} of ${goal} today`;
  byId("progress").max = goal;
  byId("progress").value = Math.min(mine.judged_today, goal);
}

function goalOfDay() {
  return Number(localStorage.getItem(`plaudit.goal.${id}`)) || project.session_goal;
}

async function showProgress() {
  await readMine().catch((failure) => complain(failure.message));
  const setGoal = (goal) => {
    localStorage.setItem(`plaudit.goal.${id}`, String(goal));
    showMine();
  };
  let changed = false;
  const opened = dialogs.progress(mine, goalOfDay(), setGoal, async (titles) => {
    await decline(titles);
    changed = true;
  });
  opened.addEventListener("close", () => changed && goOn());
}

function decline(titles) {
  return api("PUT", "/declined", { titles });
}

/* What is open may have been taken back, or there is more again. */
async function goOn() {
  await drafts.flush();
  await next();
}

function showConnection(left, retry, failure) {
  const bar = byId("connection");
  if (left === null) {
    if (!bar.hidden) announce("Your answer was sent.");
    bar.hidden = true;
    return;
  }
  const ended = failure instanceof Refused && failure.status === 401;
  if (bar.hidden) {
    bar.replaceChildren(
      el("span", {}, ended ? "Your session has ended. Your answer is kept; sign in and it will be sent. "
        : "No connection. Your answer is kept here and will be sent again. "),
      el("span", { class: "count", "aria-live": "off" }),
      ended ? el("a", { class: "button", href: `/sign-in?to=${encodeURIComponent(location.pathname)}` }, "Sign in")
        : el("button", { type: "button", id: "retry" }, "Try now"));
    bar.hidden = false;
  }
  bar.querySelector(".count").textContent = `Next try in ${left} s.`;
  const button = byId("retry");
  if (button) button.onclick = retry;
}

function showFailure(failure, again) {
  const text = failure instanceof Refused ? failure.message : "The server cannot be reached.";
  if (task && !again) return task.answer && complain(text);
  place.replaceChildren(el("div", { class: "centred" }, el("h1", {}, "That did not work"),
    el("p", { class: "notice bad", role: "alert" }, text),
    el("p", {}, el("button", { type: "button", class: "primary", onclick: next }, "Try again"))));
}

start().catch((failure) => {
  if (!(failure instanceof Refused || failure instanceof Unreachable)) throw failure;
  place.replaceChildren(el("div", { class: "centred" }, el("h1", {}, "That did not work"),
    el("p", { class: "notice bad", role: "alert" }, failure.message),
    el("p", {}, el("a", { class: "button", href: "/" }, "Your projects"))));
});
