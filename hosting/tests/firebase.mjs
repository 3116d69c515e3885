// Signing in with Firebase: the real SDK against the Auth emulator, to which the browser's requests for Google's servers go.

import assert from "node:assert/strict";
import { before } from "node:test";

import { checkState, pageTest, startStack } from "./support.mjs";

const emulator = `http://${process.env.FIREBASE_AUTH_EMULATOR_HOST}`;
const project = "demo-export";
const config = { projectId: project, apiKey: "key", appId: "1:1:web:1", authDomain: `${project}.firebaseapp.com` };
/** What a deployment answers to the question whether it is a local stack. */
const errors = [/status of 404/];
let origin;

before(async () => {
  assert.ok(process.env.FIREBASE_AUTH_EMULATOR_HOST, "run the tests with make test-page, which starts the Auth emulator");
  ({ origin } = await startStack({}));
  await createUser("ada", "ada@example.com");
});

/** Serves the page as a deployment does: with the project's configuration, and without the token issuer. */
async function deployed(context) {
  const sent = [];
  await context.route(/\/__\/local\//, (route) => route.fulfill({ status: 404, body: "" }));
  await context.route(/\/__\/firebase\/init\.json$/, (route) => route.fulfill({ json: config }));
  await context.route(/^https:\/\/(identitytoolkit|securetoken)\.googleapis\.com\//, async (route) => {
    const url = route.request().url();
    sent.push(new URL(url).pathname);
    const response = await route.fetch({ url: url.replace("https://", `${emulator}/`) });
    await route.fulfill({ response, headers: { ...response.headers(), "access-control-allow-origin": "*" } });
  });
  return sent;
}

/** A user of the emulator with that id, so that the user has the jobs of the demo data. */
async function createUser(localId, email) {
  const path = `/identitytoolkit.googleapis.com/v1/projects/${project}/accounts`;
  const headers = { Authorization: "Bearer owner", "Content-Type": "application/json" };
  const body = JSON.stringify({ localId, email, emailVerified: true });
  const response = await fetch(emulator + path, { method: "POST", headers, body });
  assert.ok(response.ok, await response.text());
}

/** The last link that was sent to that address. */
async function lastLink(email) {
  const { oobCodes } = await (await fetch(`${emulator}/emulator/v1/projects/${project}/oobCodes`)).json();
  return oobCodes.findLast((code) => code.email === email).oobLink;
}

pageTest("a person signs in with a link by e-mail, stays signed in, and signs out everywhere", { errors }, async (page, context) => {
  const sent = await deployed(context);
  await page.goto(origin);
  await page.getByRole("button", { name: "Sign in with Google" }).waitFor();
  assert.ok(!(await page.getByLabel("Your Firebase ID token").isVisible()), "a token is folded away");
  assert.deepEqual(sent, [], "the SDK is not loaded before it is needed");
  await checkState(page, "sign in with Firebase");

  await page.getByLabel("Your e-mail address").fill("ada");
  await page.getByRole("button", { name: "Send me a link" }).click();
  await page.getByText("Enter an e-mail address, for example").waitFor();
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Send me a link" }).click();
  await page.getByText("A link was sent to ada@example.com.").waitFor();
  await checkState(page, "link sent");

  await page.goto(await lastLink("ada@example.com"));
  await page.getByText("Signed in as ada@example.com").waitFor();
  await page.getByText("Family recipes").waitFor();
  assert.equal(new URL(page.url()).search, "", "the link is no longer in the address");

  // the session survives a reload, and a second tab has it
  await page.reload();
  await page.getByText("Family recipes").waitFor();
  const other = await context.newPage();
  await other.goto(origin);
  await other.getByText("Family recipes").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in with Google" }).waitFor();
  await other.getByRole("button", { name: "Sign in with Google" }).waitFor();
  await page.reload();
  await page.getByRole("button", { name: "Sign in with Google" }).waitFor();
});

pageTest("a token is renewed before it expires", { errors }, async (page, context) => {
  const sent = await deployed(context);
  await page.clock.install();
  await page.goto(origin);
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Send me a link" }).click();
  await page.getByText("A link was sent").waitFor();
  await page.goto(await lastLink("ada@example.com"));
  await page.getByText("Family recipes").waitFor();
  assert.ok(!sent.includes("/v1/token"));
  const renewed = page.waitForResponse((response) => response.url().includes("securetoken.googleapis.com/v1/token"));
  await page.clock.fastForward("59:45");
  await page.getByRole("button", { name: "Reload" }).click();
  await renewed;
  await page.getByText("Family recipes").waitFor();
});

pageTest("a link that was opened in another browser asks for its address, and works once", { errors: [...errors, /status of 400/] }, async (page, context) => {
  await deployed(context);
  await page.goto(origin);
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Send me a link" }).click();
  await page.getByText("A link was sent").waitFor();
  const link = await lastLink("ada@example.com");
  await page.evaluate(() => localStorage.clear());
  await page.goto(link);
  await page.getByText("You opened a link that was sent to this address.").waitFor();
  await checkState(page, "address of a link");
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Sign in with the link" }).click();
  await page.getByText("Family recipes").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  const used = new URL(link);
  const again = new URL(origin);
  for (const name of ["mode", "oobCode", "apiKey"]) {
    again.searchParams.set(name, used.searchParams.get(name));
  }
  await page.goto(again.href);
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Sign in with the link" }).click();
  await page.getByText("This link was used already").waitFor();
});

pageTest("a lost connection to Firebase is said in a person's words", { errors: [...errors, /ERR_FAILED/] }, async (page, context) => {
  await deployed(context);
  await context.route(/^https:\/\/identitytoolkit\.googleapis\.com\//, (route) => route.abort());
  await page.goto(origin);
  await page.getByLabel("Your e-mail address").fill("ada@example.com");
  await page.getByRole("button", { name: "Send me a link" }).click();
  await page.getByText("Firebase Authentication cannot be reached. Check your connection.").waitFor();
  await checkState(page, "Firebase unreachable");
});
