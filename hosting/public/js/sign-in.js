// Signing in: with the local stack's users, with Firebase, or with a pasted token.

import { $ } from "./dom.js";
import { markInvalid } from "./fields.js";
import * as firebase from "./firebase.js";
import { pastedToken, signInWithToken } from "./session.js";

const token = { input: $("#token"), error: $("#token-error") };

export function initialize() {
  for (const button of document.querySelectorAll("[data-user]")) {
    button.addEventListener("click", () => signInLocally(button.dataset.user));
  }
  firebase.initialize();
  token.input.addEventListener("input", () => markInvalid(token, null));
  $("#token-sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const pasted = pastedToken(token.input.value);
    if (markInvalid(token, pasted ? null : "This is not an ID token. Paste the whole token: three parts with dots between them.")) {
      token.input.focus();
      return;
    }
    token.input.value = "";
    signInWithToken(pasted);
  });
}

/** Shows the ways to sign in. `expired`: the service refused a sign-in; `keeps`: the page has what was typed until then. */
export async function show({ expired = false, keeps = false } = {}) {
  $("#expired").hidden = !expired;
  $("#expired").textContent = keeps
    ? "Your sign-in has expired. Sign in again: what you have typed is still there."
    : "Your sign-in was not accepted: it has expired or is not valid. Sign in again.";
  const local = await isLocalStack();
  $("#local-sign-in").hidden = !local;
  $("#docs").hidden = !local;
  const withFirebase = !local && (await firebase.isConfigured());
  firebase.show();
  $("#firebase-sign-in").hidden = !withFirebase;
  // a token is for support, where there is another way
  $("#token-details").open = !withFirebase;
  $("#token-details").hidden = local;
}

async function isLocalStack() {
  const response = await fetch("/__/local/keys").catch(() => null);
  return Boolean(response?.ok && response.headers.get("Content-Type")?.startsWith("application/json"));
}

async function signInLocally(user) {
  const problem = $("#sign-in-problem");
  problem.hidden = true;
  const response = await fetch(`/__/local/token?user=${encodeURIComponent(user)}`, { method: "POST" }).catch(() => null);
  if (response?.ok) {
    signInWithToken((await response.json()).token);
  } else {
    problem.textContent = "The local stack returned no token. Is it still running?";
    problem.hidden = false;
  }
}
