// The page by keyboard alone, in forced colors, with reduced motion, and from 320 px to 4K.

import assert from "node:assert/strict";

import { checkState, focused, jobItem, openJob, pageTest, picture, signIn, tabTo } from "./support.mjs";

pageTest("an export by keyboard alone", {}, async (page) => {
  await page.getByRole("button", { name: "Sign in as ben" }).waitFor();
  await tabTo(page, /^Sign in as ben$/);
  await page.keyboard.press("Enter");
  const tickets = jobItem(page, "Support tickets");
  await tickets.getByText(/to download\./).waitFor();
  assert.equal((await focused(page)).name, "Completed training jobs");
  await tabTo(page, /^Run it on this computer$/);
  await page.keyboard.press("ArrowDown");
  assert.ok(await tickets.getByRole("radio", { name: "Serve it" }).isChecked());
  await tabTo(page, /^Export$/);
  await page.keyboard.press("Enter");
  await tickets.getByText("Merged model completed").first().waitFor();
  await tabTo(page, /^All exports of this job$/);
  await page.keyboard.press("Enter");
  await tickets.locator(".history li").first().waitFor();
});

pageTest("forced colors keep what can be used visible", { forcedColors: "active" }, async (page) => {
  await signIn(page);
  const recipes = await openJob(page, "Family recipes");
  await recipes.getByText(/to download\./).waitFor();
  for (const selector of [".status", ".job", ".start button[type=submit]"]) {
    const width = await recipes.locator(selector).or(page.locator(selector)).first().evaluate((one) => getComputedStyle(one).borderTopWidth);
    assert.notEqual(width, "0px", selector);
  }
  await picture(page, "forced colors");
});

pageTest("nothing moves where motion is reduced", { reducedMotion: "reduce" }, async (page) => {
  await signIn(page);
  await openJob(page, "Family recipes");
  const moving = await page.evaluate(() =>
    [...document.querySelectorAll("*")].filter((one) => {
      const { transitionDuration, animationName } = getComputedStyle(one);
      return transitionDuration !== "0s" || animationName !== "none";
    }).length);
  assert.equal(moving, 0);
});

for (const width of [320, 768, 1920, 3840]) {
  pageTest(`everything fits ${width} px`, { viewport: { width, height: 1000 } }, async (page) => {
    await signIn(page);
    const recipes = await openJob(page, "Family recipes");
    await recipes.getByRole("radio", { name: "Choose from everything" }).check();
    await recipes.getByText(/to download\./).waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px wider than the window`);
    const size = await page.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize));
    assert.ok(width < 3840 ? size === 16 : size > 20, `${size} px letters`);
    await picture(page, `fits ${width} px`);
  });
}

pageTest("a list that cannot be loaded says so, and loads again", { errors: [/status of 503/] }, async (page) => {
  let failing = true;
  await page.route(/\/exports$/, (route) =>
    failing ? route.fulfill({ status: 503, json: { detail: "The service is busy: try again in a minute." } }) : route.fallback());
  await page.getByRole("button", { name: "Sign in as ada" }).click();
  await page.getByText("The service is busy: try again in a minute.").waitFor();
  await checkState(page, "list failed");
  failing = false;
  await page.getByRole("button", { name: "Reload" }).click();
  await jobItem(page, "Sonnets").waitFor();
});

pageTest("while the list is loading, the page says so", {}, async (page) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await page.route(/\/exports$/, async (route) => {
    await held;
    await route.fallback();
  });
  await page.getByRole("button", { name: "Sign in as ada" }).click();
  await page.getByText("Loading your jobs…").waitFor();
  await checkState(page, "loading");
  release();
  await jobItem(page, "Sonnets").waitFor();
});
