/* The JSON API: one function, two kinds of failure. */

let csrf = null;

/* The server answered, and said no. */
export class Refused extends Error {
  constructor(status, message, retryAfterSeconds) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/* Nobody answered, or the server is not well: the same request may be sent again. */
export class Unreachable extends Error {}

export async function request(method, path, body, options = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  let response;
  try {
    response = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options,
    });
  } catch {
    throw new Unreachable("the server cannot be reached");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  if (response.status >= 500 || answer === null) throw new Unreachable("the server failed");
  const after = Number(response.headers.get("Retry-After")) || undefined;
  throw new Refused(response.status, answer.error ?? response.statusText, after);
}

/* Of a judgment. ``crypto.randomUUID`` is there on secure pages only. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* Who is signed in; sends who is not to the page where one signs in. */
export async function session() {
  try {
    const found = await request("GET", "/api/session");
    csrf = found.csrf;
    return found;
  } catch (failure) {
    if (!(failure instanceof Refused) || failure.status !== 401) throw failure;
    const back = location.pathname === "/" ? "" : `?to=${encodeURIComponent(location.pathname)}`;
    location.replace(`/sign-in${back}`);
    return new Promise(() => {});
  }
}

/* After a new session in another tab, what this page sends back is no longer that session's. */
export async function refreshSession() {
  await request("GET", "/api/session").then((found) => { csrf = found.csrf; }, () => {});
}

/* Whoever is signed in already joins with that identity: then the request must prove its page. */
export async function signIn(token, name) {
  await refreshSession();
  const found = await request("POST", "/api/session", { token, name });
  csrf = found.csrf;
  return found;
}

export async function signOut() {
  const unsent = Object.keys(localStorage).some((name) => name.startsWith("plaudit.outbox."));
  if (unsent && !confirm("An answer has not been sent yet and would be lost. Sign out all the same?")) return;
  await request("DELETE", "/api/session");
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith("plaudit.") && name !== "plaudit.theme") localStorage.removeItem(name);
  }
  location.assign("/sign-in");
}
