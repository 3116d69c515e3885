// The person's account on the Hugging Face Hub. The page signs in as a public OAuth app, if the deployment has one: by an
// authorization code with PKCE (RFC 7636). The token is kept in memory only.

import { keepDrafts } from "./drafts.js";
import { currentSession, sessionEvents } from "./session.js";

/** What the page remembers of a sign-in in this tab, until the Hub has answered. */
const PENDING = "hub-sign-in";
/** To create repositories, to write to those that exist, and to know who signs in. */
const SCOPES = "openid profile contribute-repos write-repos";
const WRITING_ROLES = ["admin", "write", "contributor"];
/** The share of a token's time in which exports start with it; they need it until they end. */
const USED_SHARE = 7 / 8;

/** Tells of `changed`: somebody has signed in or out, or could not. */
export const hubEvents = new EventTarget();

let settings;
let account = null;
let problem = "";
/** Whether the page was just opened by the Hub's answer, and nobody has been shown what came of it. */
let returned = false;
let timer;

/** The settings of the app, `{client_id, endpoint}`, or null where the deployment has none. */
export function hubSettings() {
  settings ??= fetch("/hub-sign-in.json")
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  return settings;
}

/** `{user, organizations, token}` of who is signed in on the Hub, or null. The organizations are those that the token writes to. */
export function hubAccount() {
  if (account && Date.now() >= account.until) {
    settle(null, "Your sign-in with Hugging Face has expired. Sign in again.");
  }
  return account;
}

/** Why nobody is signed in, or an empty text. */
export const hubProblem = () => problem;

/** Whether the page has returned from the Hub, and the sign-in has ended: true once. */
export function hasReturned() {
  const ended = returned && Boolean(account || problem);
  returned &&= !ended;
  return ended;
}

export const signOutOfHub = () => settle(null);

/** Leaves the page for the Hub, which returns to it; `hash` names what to show then. Returns whether the page is being left. */
export async function signInWithHub(hash) {
  try {
    const app = await hubSettings();
    const { authorization_endpoint: address } = await endpoints(app);
    const pending = { state: randomText(), verifier: randomText(), hash, user: currentSession()?.user };
    sessionStorage.setItem(PENDING, JSON.stringify(pending));
    keepDrafts();
    const query = new URLSearchParams({
      response_type: "code",
      client_id: app.client_id,
      redirect_uri: redirectUri(),
      scope: SCOPES,
      state: pending.state,
      code_challenge: await challengeOf(pending.verifier),
      code_challenge_method: "S256",
    });
    location.assign(`${address}?${query}`);
    return true;
  } catch (error) {
    settle(null, error.message);
    return false;
  }
}

/** Takes the Hub's answer out of the page's address, if there is one, and ends the sign-in with it. */
export async function returnFromHub() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) {
    return;
  }
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "{}");
  sessionStorage.removeItem(PENDING);
  history.replaceState(null, "", `/${pending.hash ?? ""}`);
  returned = true;
  try {
    if (answer.get("state") !== pending.state) {
      throw new Error("This tab did not ask for that sign-in, so it was ignored. Sign in again.");
    }
    if (answer.has("error")) {
      throw new Error(refusal(answer.get("error"), answer.get("error_description")));
    }
    const found = await exchange(answer.get("code"), pending.verifier);
    settle(isOwner(pending.user) ? { ...found, owner: pending.user } : null);
  } catch (error) {
    settle(null, error.message);
  }
}

// somebody else has signed in, or nobody is
sessionEvents.addEventListener("changed", () => {
  if (account && !(currentSession() && isOwner(account.owner))) {
    signOutOfHub();
  }
});

/** Whether the page may show the account of that user: nobody else is signed in. */
const isOwner = (user) => !currentSession() || currentSession().user === user;

function settle(found, text = "") {
  clearTimeout(timer);
  account = found;
  problem = text;
  if (account) {
    timer = setTimeout(hubAccount, account.until - Date.now());
  }
  hubEvents.dispatchEvent(new Event("changed"));
}

function refusal(error, description) {
  return error === "access_denied"
    ? "You did not allow it on the Hub, so you are not signed in there. Sign in again, or enter an access token."
    : `The Hub refused the sign-in: ${description || error}. Try again, or enter an access token.`;
}

/** The account that the code stands for. */
async function exchange(code, verifier) {
  const app = await hubSettings();
  const { token_endpoint: forToken, userinfo_endpoint: forUser } = await endpoints(app);
  const body = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: app.client_id,
    code,
    redirect_uri: redirectUri(),
    code_verifier: verifier,
  });
  const { access_token: token, expires_in: seconds } = await request(forToken, { method: "POST", body });
  const user = await request(forUser, { headers: { Authorization: `Bearer ${token}` } });
  const organizations = (user.orgs ?? []).filter((org) => WRITING_ROLES.includes(org.roleInOrg) && !org.pendingSSO && !org.missingMFA);
  return {
    user: user.preferred_username,
    organizations: organizations.map((org) => org.preferred_username),
    token,
    until: Date.now() + 1000 * seconds * USED_SHARE,
  };
}

/** The addresses of the Hub's sign-in, all on the Hub itself. */
async function endpoints({ endpoint }) {
  const found = await request(`${endpoint}/.well-known/openid-configuration`);
  const { authorization_endpoint, token_endpoint, userinfo_endpoint } = found;
  const { origin } = new URL(endpoint);
  if ([authorization_endpoint, token_endpoint, userinfo_endpoint].some((address) => new URL(address).origin !== origin)) {
    throw new Error(`The sign-in of ${endpoint} is not at ${endpoint}, so it is not used. Enter an access token.`);
  }
  return found;
}

async function request(address, options) {
  const response = await fetch(address, options).catch(() => {
    throw new Error("The Hugging Face Hub cannot be reached. Check your connection.");
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const why = answer.error_description ?? answer.error ?? `status ${response.status}`;
    throw new Error(`The Hub did not end the sign-in: ${why}. Sign in again.`);
  }
  return answer;
}

/** The page's own address, which the app is registered with. */
const redirectUri = () => `${location.origin}/`;

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const randomText = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const challengeOf = async (verifier) => base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
