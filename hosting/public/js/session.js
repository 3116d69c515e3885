// Who is signed in. A session is `{ user, token }`, where `token` returns a valid ID token.

const KEY = "token";

/** Tells of `changed` (somebody signed in or out) and `expired` (the service no longer accepts the token). */
export const sessionEvents = new EventTarget();

let session = restored();

export const currentSession = () => session;

/** The session of a token, which is kept in this tab. */
export function signInWithToken(token) {
  sessionStorage.setItem(KEY, token);
  setSession(tokenSession(token));
}

export function setSession(changed) {
  session = changed;
  sessionEvents.dispatchEvent(new Event("changed"));
}

export function signOut() {
  sessionStorage.removeItem(KEY);
  const ended = session;
  setSession(null);
  return ended?.end?.();
}

/** Ends the session because the service refused its token; what the page shows is kept until somebody signs in. */
export function expire() {
  if (session) {
    sessionStorage.removeItem(KEY);
    session = null;
    sessionEvents.dispatchEvent(new Event("expired"));
  }
}

/** The token in a pasted text: without line breaks, quotes or the name of the header. Null if it has none. */
export function pastedToken(text) {
  const token = text.replaceAll(/[\s"'`,;]/g, "").replace(/^(Authorization:?)?(Bearer)?/i, "");
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token) && subject(token) ? token : null;
}

function restored() {
  const token = sessionStorage.getItem(KEY);
  return token ? tokenSession(token) : null;
}

function tokenSession(token) {
  return { user: subject(token) ?? "unknown", token: async () => token };
}

/** The user id in the token, for display only: the service verifies the token. */
function subject(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)).sub;
  } catch {
    return null;
  }
}
