// Sign-in by Firebase Authentication: with Google, or with a link by e-mail. Its SDK is loaded only when it is needed.

import { $ } from "./dom.js";
import { markInvalid } from "./fields.js";
import { currentSession, setSession, signOut } from "./session.js";

/** That this browser has signed in with Firebase. */
const USED = "firebase-sign-in";
/** The address that the last link was sent to. */
const EMAIL = "firebase-email";

const MESSAGES = {
  "auth/popup-closed-by-user": "The window was closed before you were signed in. Try again.",
  "auth/popup-blocked": "The browser blocked the window. Allow pop-ups for this page, then try again.",
  "auth/invalid-action-code": "This link was used already or is not complete. Ask for a new one.",
  "auth/expired-action-code": "This link has expired. Ask for a new one.",
  "auth/invalid-email": "This is not the address that the link was sent to. Enter that address.",
  "auth/user-disabled": "This account is disabled. Ask the operator of the service.",
  "auth/operation-not-allowed": "This way to sign in is not enabled. Use another, or ask the operator of the service.",
  "auth/unauthorized-domain": "Sign-in is not enabled for this address. Ask the operator of the service.",
  "auth/network-request-failed": "Firebase Authentication cannot be reached. Check your connection.",
  "auth/too-many-requests": "There were too many attempts. Try again in some minutes.",
};

const email = { input: $("#email"), error: $("#email-error") };
let connecting;

/** The project's public configuration, which Firebase Hosting serves; null where there is none or it has no web app. */
async function configuration() {
  const response = await fetch("/__/firebase/init.json").catch(() => null);
  const config = response?.ok ? await response.json().catch(() => null) : null;
  // the handler of the sign-in window is on this site, whose storage a browser lets it share
  return config?.apiKey ? { ...config, authDomain: location.host } : null;
}

/** Whether the page can sign in with Firebase. */
export const isConfigured = async () => Boolean(await configuration());

async function connect() {
  connecting ??= (async () => {
    const [{ FirebaseAuth }, config] = await Promise.all([import("./firebase-auth.js"), configuration()]);
    const auth = new FirebaseAuth(config);
    auth.onSignedOut(() => currentSession() && signOut());
    return auth;
  })();
  return connecting.catch((problem) => {
    connecting = undefined;
    throw problem;
  });
}

const isLink = () => new URLSearchParams(location.search).has("oobCode");

/** Continues the session of this browser, or signs in with the link that the page was opened with. */
export async function restore() {
  if (!currentSession() && (localStorage.getItem(USED) || isLink())) {
    await attempt(async (auth) => {
      const address = localStorage.getItem(EMAIL);
      if (!auth.isLink(location.href)) {
        return auth.restored();
      }
      return address ? signInWithLink(auth, address) : null;
    });
  }
}

/** Shows how to sign in; for a link that was opened in another browser, asks which address it was sent to. */
export function show() {
  $("#send-link").textContent = isLink() ? "Sign in with the link" : "Send me a link";
  $("#email-help").textContent = isLink()
    ? "You opened a link that was sent to this address."
    : "You get a link by e-mail, and need no password. Open it in this browser.";
}

export function initialize() {
  $("#google").addEventListener("click", () => attempt((auth) => auth.withGoogle()));
  email.input.addEventListener("input", () => markInvalid(email, null));
  $("#email-sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const address = email.input.value.trim();
    if (markInvalid(email, /^\S+@\S+$/.test(address) ? null : "Enter an e-mail address, for example ada@example.com.")) {
      email.input.focus();
      return;
    }
    attempt((auth) => (isLink() ? signInWithLink(auth, address) : sendLink(auth, address)));
  });
}

async function sendLink(auth, address) {
  await auth.sendLink(address);
  localStorage.setItem(EMAIL, address);
  $("#link-sent").textContent = `A link was sent to ${address}. Open it in this browser.`;
  return null;
}

async function signInWithLink(auth, address) {
  try {
    return await auth.withLink(address, location.href);
  } finally {
    // a link works once
    localStorage.removeItem(EMAIL);
    history.replaceState(null, "", "/");
    show();
  }
}

/** Signs in by `way`, and shows its problem. */
async function attempt(way) {
  const problem = $("#sign-in-problem");
  problem.hidden = true;
  $("#link-sent").textContent = "";
  try {
    const session = await way(await connect());
    if (session) {
      localStorage.setItem(USED, "yes");
      setSession({ ...session, end: () => {
        localStorage.removeItem(USED);
        return session.end();
      } });
    }
  } catch (error) {
    problem.textContent = MESSAGES[error.code] ?? `You could not be signed in (${error.code ?? error.message}). Try again.`;
    problem.hidden = false;
  }
}
