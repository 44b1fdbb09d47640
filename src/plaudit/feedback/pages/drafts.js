/* What is half done, saved by itself: at the server, so that it survives a reload and another
   browser, and here where the server cannot be reached. */
import { Unreachable, request } from "./api.js";

const PAUSE_MILLISECONDS = 600;

export class Drafts {
  constructor(project, onSaved) {
    this.project = project;
    this.onSaved = onSaved;
    this.timer = null;
    this.pending = null;
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.flush();
    });
    addEventListener("pagehide", () => this.flush());
  }

  /* ``body`` is a function, so that what is saved is what stands then. */
  soon(assignment, body) {
    this.pending = { assignment, body };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), PAUSE_MILLISECONDS);
  }

  drop() {
    clearTimeout(this.timer);
    if (this.pending) localStorage.removeItem(this.slot(this.pending.assignment));
    this.pending = null;
  }

  async flush() {
    clearTimeout(this.timer);
    if (!this.pending) return;
    const { assignment, body } = this.pending;
    const content = body();
    this.pending = null;
    localStorage.setItem(this.slot(assignment), JSON.stringify(content));
    try {
      await request("PUT", this.path(assignment), { body: content }, { keepalive: true });
      localStorage.removeItem(this.slot(assignment));
      this.onSaved("Draft saved");
    } catch (failure) {
      this.onSaved(failure instanceof Unreachable ? "Draft kept in this browser" : failure.message);
    }
  }

  /* What only this browser has, else what the server gave. */
  of(assignment) {
    const here = localStorage.getItem(this.slot(assignment.id));
    return here ? JSON.parse(here) : assignment.draft;
  }

  forget(assignment) {
    localStorage.removeItem(this.slot(assignment));
  }

  slot(assignment) {
    return `plaudit.draft.${assignment}`;
  }

  path(assignment) {
    return `/api/projects/${this.project}/drafts/${encodeURIComponent(assignment)}`;
  }
}
