// Signing in on the Hugging Face Hub by OAuth with PKCE, against the fake Hub, to which exports then go.

import assert from "node:assert/strict";
import { before } from "node:test";

import { checkState, jobItem, openJob, pageTest, signIn, startHub, startStack, tabTo } from "./support.mjs";

let hub;
let origin;

before(async () => {
  const environment = await startHub();
  hub = environment.HF_ENDPOINT;
  ({ origin } = await startStack({ ...environment, FIREBASE_AUTH_EMULATOR_HOST: undefined }));
});

const signInButton = (item) => item.getByRole("button", { name: "Sign in with Hugging Face" });

/** Opens the form to publish a job, with a name and a visibility that the page does not propose. */
async function toPublish(page, name = "my-recipes") {
  await page.goto(origin);
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByRole("radio", { name: "Publish it" }).check();
  await recipes.getByRole("radio", { name: "Adapter", exact: true }).first().check();
  await recipes.getByLabel("Name of the repository").fill(name);
  await recipes.getByRole("checkbox", { name: "Public" }).check();
  await signInButton(recipes).waitFor();
  return recipes;
}

/** What was chosen and typed is on the page. */
async function checkKept(recipes, name = "my-recipes") {
  assert.ok(await recipes.getByRole("radio", { name: "Publish it" }).isChecked());
  assert.ok(await recipes.getByRole("radio", { name: "Adapter", exact: true }).first().isChecked());
  assert.equal(await recipes.getByLabel("Name of the repository").inputValue(), name);
  assert.ok(await recipes.getByRole("checkbox", { name: "Public" }).isChecked());
}

/** Signs in on the Hub, and lets the page use these organizations. */
async function authorize(page, organizations = []) {
  const recipes = jobItem(page, "Family recipes");
  await signInButton(recipes).click();
  await page.getByRole("heading", { name: "local-stack asks for access to the account of ada" }).waitFor();
  for (const name of organizations) {
    await page.getByLabel(name).check();
  }
  await page.getByRole("button", { name: "Authorize" }).click();
  await recipes.getByText("Signed in to the Hub as ada").waitFor();
  return recipes;
}

const isFocused = (locator) => locator.evaluate((one) => one === document.activeElement);

pageTest("a person signs in on the Hub, and the export goes to an organization's repository", {}, async (page) => {
  const recipes = await toPublish(page);
  await checkState(page, "sign in on the Hub");
  await authorize(page, ["lab", "readers"]);
  await checkKept(recipes);
  assert.equal(page.url(), `${origin}/#ada-recipes`, "neither code nor state is in the address");
  assert.ok(await isFocused(recipes.getByText("Signed in to the Hub as ada")));
  const owner = recipes.getByLabel("Owner", { exact: true });
  assert.deepEqual(await owner.locator("option").allTextContents(), ["ada", "lab"], "readers may not write");
  assert.equal(await owner.inputValue(), "ada");
  assert.equal(await recipes.getByLabel(/ccess token/).isVisible(), false);
  await recipes.getByText("ada/my-recipes will be created, public").waitFor();
  await owner.selectOption("lab");
  await recipes.getByText("lab/my-recipes will be created, public").waitFor();
  await checkState(page, "signed in on the Hub");

  const stored = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie]));
  assert.doesNotMatch(stored, /hf_oauth_|verifier/, "the token is in memory only");
  const [request] = await Promise.all([
    page.waitForRequest((one) => one.method() === "POST" && one.url() === `${origin}/exports`),
    recipes.getByRole("button", { name: "Export", exact: true }).click(),
  ]);
  const { hf_token: token, hf_repo_id: repo, hf_private: isPrivate } = request.postDataJSON();
  assert.match(token, /^hf_oauth_/);
  assert.deepEqual([repo, isPrivate], ["lab/my-recipes", false]);
  await recipes.getByText("Adapter completed").first().waitFor();
  assert.equal(await recipes.getByRole("link", { name: "lab/my-recipes", exact: true }).count(), 1);
  const made = await (await fetch(`${hub}/api/models/lab/my-recipes`)).json();
  assert.ok(made.siblings.some(({ rfilename }) => rfilename === "adapter_model.safetensors"), JSON.stringify(made));
});

pageTest("a sign-in on the Hub by keyboard alone", {}, async (page) => {
  const recipes = await toPublish(page, "by-keyboard");
  await recipes.getByRole("radio", { name: "Publish it" }).focus();
  await tabTo(page, /^Sign in with Hugging Face$/);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Authorize" }).waitFor();
  await tabTo(page, /^lab$/);
  await page.keyboard.press("Space");
  await tabTo(page, /^Authorize$/);
  await page.keyboard.press("Enter");
  await recipes.getByText("Signed in to the Hub as ada").waitFor();
  await tabTo(page, /^Owner$/);
  await page.keyboard.press("ArrowDown");
  await recipes.getByText("lab/by-keyboard will be created, public").waitFor();
});

pageTest("the sign-in asks for what it needs, for this page only", {}, async (page) => {
  const recipes = await toPublish(page);
  await signInButton(recipes).click();
  await page.waitForURL(`${hub}/oauth/authorize?**`);
  const asked = Object.fromEntries(new URL(page.url()).searchParams);
  const { state, code_challenge: challenge, ...rest } = asked;
  assert.deepEqual(rest, {
    response_type: "code", client_id: "local-stack", redirect_uri: `${origin}/`,
    scope: "openid profile contribute-repos write-repos", code_challenge_method: "S256",
  });
  assert.match(state, /^[\w-]{43}$/);
  assert.match(challenge, /^[\w-]{43}$/);
  await page.goBack();
  await checkKept(recipes);
});

pageTest("a double click asks for one sign-in", {}, async (page) => {
  const recipes = await toPublish(page);
  let asked = 0;
  await page.route("**/.well-known/openid-configuration", (route) => {
    asked += 1;
    return route.fallback();
  });
  // the Hub takes its time, in which the page can still be clicked
  await page.route(/\/oauth\/authorize/, async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await route.fallback();
  });
  await signInButton(recipes).evaluate((button) => {
    for (const delay of [0, 5, 500]) {
      setTimeout(() => button.click(), delay);
    }
  });
  await page.getByRole("button", { name: "Authorize" }).click();
  await recipes.getByText("Signed in to the Hub as ada").waitFor();
  assert.equal(asked, 2, "once to ask and once to end the sign-in");
});

pageTest("who does not allow it is back where she was", {}, async (page) => {
  const recipes = await toPublish(page);
  await signInButton(recipes).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await recipes.getByText("You did not allow it on the Hub").waitFor();
  await checkKept(recipes);
  assert.equal(page.url(), `${origin}/#ada-recipes`);
  assert.ok(await isFocused(signInButton(recipes)));
  await checkState(page, "sign in on the Hub refused");
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await recipes.getByText("Enter the owner of the repository").waitFor();
  await recipes.getByText("Sign in with Hugging Face, or enter an access token with write permission.").waitFor();
});

pageTest("an answer that the tab did not ask for is ignored", {}, async (page) => {
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  let recipes = await toPublish(page);
  // as a page of somebody else would send it, during a sign-in
  await signInButton(recipes).click();
  await page.getByRole("button", { name: "Authorize" }).waitFor();
  await page.goto(`${origin}/?code=stolen&state=forged&redirect_uri=https%3A%2F%2Fexample.com%2F`);
  recipes = jobItem(page, "Family recipes");
  await recipes.getByText("This tab did not ask for that sign-in").waitFor();
  assert.equal(page.url(), `${origin}/#ada-recipes`);
  assert.ok(!requests.some((url) => url.endsWith("/oauth/token")), "the code is not used");
  // and without one: an answer that comes twice, or in another tab
  await page.goto(`${origin}/?error=access_denied&error_description=pay&state=`);
  await jobItem(page, "Family recipes").waitFor();
  assert.equal(page.url(), `${origin}/`);
  assert.equal(await page.getByText("pay", { exact: true }).count(), 0);
});

pageTest("endpoints that are not the Hub's are not used", {}, async (page) => {
  await page.route("**/.well-known/openid-configuration", async (route) => {
    const found = await (await route.fetch()).json();
    await route.fulfill({ json: { ...found, authorization_endpoint: "https://example.com/oauth/authorize" } });
  });
  const recipes = await toPublish(page);
  await signInButton(recipes).click();
  await recipes.getByText(/^The sign-in of .* is not at .*, so it is not used\./).waitFor();
  assert.equal(new URL(page.url()).origin, origin);
});

pageTest("a sign-in that the Hub does not end is said in a person's words", { errors: [/status of 400/, /ERR_FAILED/] }, async (page) => {
  const recipes = await toPublish(page);
  await page.route("**/oauth/token", (route) => {
    const code = route.request().postData().replace(/code=\w+/, "code=used");
    return route.continue({ postData: code });
  });
  await signInButton(recipes).click();
  await page.getByRole("button", { name: "Authorize" }).click();
  await recipes.getByText("The Hub did not end the sign-in: grant request is invalid. Sign in again.").waitFor();
  await checkKept(recipes);
  await page.route("**/.well-known/openid-configuration", (route) => route.abort());
  await signInButton(recipes).click();
  await recipes.getByText("The Hugging Face Hub cannot be reached. Check your connection.").waitFor();
});

pageTest("a sign-in on the Hub expires, and what was typed stays", {}, async (page) => {
  await page.clock.install();
  await toPublish(page);
  const recipes = await authorize(page);
  await page.clock.fastForward("06:59:00");
  await recipes.getByText("Signed in to the Hub as ada").waitFor();
  await page.clock.fastForward("01:01");
  await recipes.getByText("Your sign-in with Hugging Face has expired. Sign in again.").waitFor();
  await recipes.getByLabel(/^Or an access token/).waitFor();
  await checkKept(recipes);
  await checkState(page, "expired on the Hub");
});

pageTest("who signs out is signed out on the Hub too", {}, async (page) => {
  await toPublish(page);
  const recipes = await authorize(page);
  await recipes.getByRole("button", { name: "Sign out of the Hub" }).click();
  await signInButton(recipes).waitFor();
  await checkKept(recipes);
  await authorize(page);
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await signIn(page, "ben");
  const tickets = jobItem(page, "Support tickets");
  await tickets.getByRole("radio", { name: "Publish it" }).check();
  await signInButton(tickets).waitFor();
  assert.equal(await page.getByText("Signed in to the Hub").filter({ visible: true }).count(), 0);
});

pageTest("a token that the Hub rejects is said at its field, and nothing is started", { errors: [/status of 422/] }, async (page) => {
  const recipes = await toPublish(page, "wrong-token");
  let started = 0;
  page.on("request", (request) => (started += request.method() === "POST" && request.url().endsWith("/exports") ? 1 : 0));
  await recipes.getByLabel("Owner: your user name or an organization").fill("ada");
  const token = recipes.getByLabel(/^Or an access token/);
  await token.fill("hf_of_nobody");
  for (let clicks = 0; clicks < 2; clicks += 1) {
    await recipes.getByRole("button", { name: "Export", exact: true }).click();
    await page.waitForFunction(() => document.activeElement.name === "hf_token");
  }
  assert.equal(await token.getAttribute("aria-invalid"), "true");
  await recipes.locator(".field-error", { hasText: /^The Hugging Face Hub rejected the access token/ }).waitFor();
  assert.equal(await recipes.getByText("hf_token").filter({ visible: true }).count(), 0);
  await checkState(page, "rejected token");
  assert.equal(started, 0);
});

pageTest("a sign-in on the Hub that the Hub refuses is said beside it, and nothing is started", { errors: [/status of 422/] }, async (page) => {
  await toPublish(page);
  const recipes = await authorize(page, ["lab"]);
  await recipes.getByText("ada/my-recipes will be created, public").waitFor();
  let started = 0;
  page.on("request", (request) => (started += request.method() === "POST" && request.url().endsWith("/exports") ? 1 : 0));
  const detail = "hf_token has no write access to lab/my-recipes: use a token with write access and export again";
  const refuse = (route) => route.fulfill({ status: 422, json: { status: 422, detail, field: "hf_token" } });
  await page.route("**/plans", refuse);
  const owner = recipes.getByLabel("Owner", { exact: true });
  await owner.selectOption("lab");
  const problem = recipes.getByText("Your sign-in on the Hub has no write access to lab/my-recipes: use a token with write access. "
    + "Sign out of the Hub to sign in again, or to enter an access token.");
  await problem.waitFor();
  await recipes.getByRole("button", { name: "Export", exact: true }).click();
  await page.waitForFunction(() => document.activeElement.textContent === "Signed in to the Hub as ada");
  await checkState(page, "refused sign-in on the Hub");
  await page.unroute("**/plans", refuse);
  await owner.selectOption("ada");
  await recipes.getByText("ada/my-recipes will be created, public").waitFor();
  assert.equal(await problem.count(), 0);
  assert.equal(started, 0);
});

pageTest("a public repository for a private model is said at its name", { errors: [/status of 422/] }, async (page) => {
  await toPublish(page);
  const recipes = await authorize(page);
  const detail = "ada/my-recipes is public, but the export asks for a private repository: choose another one, or set hf_private to false";
  await page.route("**/plans", (route) => route.fulfill({ status: 422, json: { status: 422, detail, field: "hf_private" } }));
  await recipes.getByRole("checkbox", { name: "Public" }).uncheck();
  await recipes.locator(".field-error", { hasText: /^ada\/my-recipes is public, .* or choose Public\.$/ }).waitFor();
  assert.equal(await recipes.getByLabel("Name of the repository").getAttribute("aria-invalid"), "true");
});

pageTest("a token is asked for where no app is registered", {}, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/hub-sign-in.json") && response.ok()),
    recipes.getByRole("radio", { name: "Publish it" }).check(),
  ]);
  await recipes.getByLabel(/^Access token with write permission/).waitFor();
  assert.equal(await signInButton(recipes).isVisible(), false);
});
