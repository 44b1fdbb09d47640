/* A judgment on its way. It is kept in the browser until the server says that it is recorded, and
   sent again under the same id, which makes it one judgment however often it arrives. */
import { Refused, Unreachable, refreshSession, request } from "./api.js";

const LONGEST_WAIT_SECONDS = 15;

export class Outbox {
  constructor(project, rater, onWaiting) {
    this.project = project;
    this.slot = `plaudit.outbox.${project}.${rater}`;
    this.onWaiting = onWaiting; // (seconds left, or null when sending; retry; failure)
  }

  kept() {
    return JSON.parse(localStorage.getItem(this.slot) ?? "null");
  }

  /* The server's answer, however long it takes. Raises Refused where the server will not have it. */
  async send(path, body) {
    localStorage.setItem(this.slot, JSON.stringify({ path, body }));
    return this.deliver({ path, body });
  }

  async deliver({ path, body }) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const answer = await request("POST", `/api/projects/${this.project}/${path}`, body);
        this.done();
        return answer;
      } catch (failure) {
        if (!passes(failure, attempt)) {
          this.done();
          throw failure;
        }
        const seconds = failure.retryAfterSeconds ?? Math.min(2 ** attempt, LONGEST_WAIT_SECONDS);
        await this.wait(seconds, failure);
        if (failure instanceof Refused) await refreshSession();
      }
    }
  }

  done() {
    localStorage.removeItem(this.slot);
    this.onWaiting(null);
  }

  wait(seconds, failure) {
    return new Promise((go) => {
      let left = seconds;
      const end = () => {
        clearInterval(timer);
        removeEventListener("online", end);
        go();
      };
      const timer = setInterval(() => {
        left -= 1;
        if (left <= 0) end();
        else this.onWaiting(left, end, failure);
      }, 1000);
      addEventListener("online", end);
      this.onWaiting(left, end, failure);
    });
  }
}

/* What another attempt can mend: no connection, a server that is not well, a session that ended or
   was begun anew in another tab. */
function passes(failure, attempt) {
  if (failure instanceof Unreachable || [401, 408, 429].includes(failure.status)) return true;
  return failure.status === 403 && attempt === 0;
}
