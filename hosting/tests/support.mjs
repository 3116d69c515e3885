// What every test of the page uses: the local stack, the browser, and checks of accessibility and of the console.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where `make test-page` says to keep pictures of every state. */
const pictures = process.env.PAGE_PICTURES;
const program = process.env.LOCAL_STACK;
const stacks = [];

export let origin;
let data;
let browser;

before(async () => {
  ({ origin, data } = await startStack());
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
});

after(async () => {
  await browser?.close();
  await Promise.all(stacks.map((stop) => stop()));
});

/** Starts a local stack of its own; all stop at the end of the tests. Its functions accept the tokens that `environment` says. */
export async function startStack(environment = { FIREBASE_AUTH_EMULATOR_HOST: undefined }) {
  const data = mkdtempSync(join(tmpdir(), "test-page-"));
  const stack = spawn(program, ["serve", "--port", "0", "--data-dir", data], {
    // nobody listens where the Hub would be, so nothing leaves this machine
    env: { ...process.env, MAX_RUNNING_EXPORTS: "0", MAX_DAILY_EXPORTS: "0", HF_ENDPOINT: "http://127.0.0.1:9", ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => stack.once("exit", resolve));
  stacks.push(async () => {
    stack.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  });
  let origin;
  for await (const line of createInterface(stack.stdout)) {
    origin ??= line.match(/^\s*page\s+(\S+)/)?.[1];
    if (line.includes("until Ctrl-C")) {
      return { origin, data };
    }
  }
  throw new Error("The local stack did not start.");
}

/** Starts a fake Hugging Face Hub, and returns what a local stack needs to use it: variables of the environment. */
export async function startHub() {
  const hub = spawn(process.env.HUB_STAND_IN, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => hub.once("exit", resolve));
  stacks.push(async () => {
    hub.kill("SIGTERM");
    await ended;
  });
  for await (const line of createInterface(hub.stdout)) {
    return Object.fromEntries(line.split(" ").map((variable) => variable.split("=")));
  }
  throw new Error("The fake Hub did not start.");
}

/** Runs a command of the local stack's program on the data of the running stack. */
export async function local(...args) {
  const { stdout } = await promisify(execFile)(program, [...args, "--data-dir", data]);
  return stdout.trim();
}

/** Requests the API as that user. */
export async function api(user, path, body) {
  const response = await fetch(origin + path, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${await local("token", "--user", user)}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  return response.json();
}

/**
 * A test with a page of its own. It fails if the console has an error that matches none of `errors`: a browser also reports
 * there that a response had a status of 400 or more.
 */
export function pageTest(name, { errors = [], ...options }, run) {
  test(name, { timeout: 120_000 }, async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    const unexpected = [];
    context.on("console", (message) => {
      if (message.type() === "error" && !errors.some((error) => error.test(message.text()))) {
        unexpected.push(message.text());
      }
    });
    context.on("weberror", (error) => unexpected.push(String(error.error())));
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    try {
      await page.goto(origin);
      await run(page, context);
      assert.deepEqual(unexpected, []);
    } catch (error) {
      await picture(page, `failed ${name}`);
      throw error;
    } finally {
      // answers that a test changes may still be on their way
      for (const one of [context, ...context.pages()]) {
        await one.unrouteAll({ behavior: "ignoreErrors" });
      }
      await context.close();
    }
  });
}

export async function signIn(page, user = "ada") {
  await page.getByRole("button", { name: `Sign in as ${user}` }).click();
  await page.getByText(`Signed in as ${user}`).waitFor();
}

/** Signs in as a user for whom the page of the local stack has no button. */
export async function signInAs(page, user) {
  const token = await local("token", "--user", user);
  await page.evaluate((token) => sessionStorage.setItem("token", token), token);
  await page.reload();
  await page.getByText(`Signed in as ${user}`).waitFor();
}

/** The item of the job with that name. */
export const jobItem = (page, name) =>
  page.locator("#jobs > li").filter({ has: page.getByRole("heading", { name, exact: true, level: 3 }) });

export async function openJob(page, name) {
  const item = jobItem(page, name);
  await item.locator("summary").first().click();
  return item;
}

/** The accessible name of the focused element, which has to be visible. */
export const focused = (page) =>
  page.evaluate(() => {
    const { activeElement: one } = document;
    const outline = getComputedStyle(one).outlineStyle;
    const name = one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent;
    return { name: name.trim(), isVisible: outline !== "none" && one.checkVisibility() };
  });

/** Presses Tab until the element with that name has the focus. */
export async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    const one = await focused(page);
    assert.ok(one.isVisible, `the focus on ${one.name} cannot be seen`);
    if (name.test(one.name)) {
      return;
    }
  }
  assert.fail(`Tab does not reach ${name}`);
}

export async function picture(page, name) {
  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: join(pictures, `${name.replaceAll(/[^a-z0-9]+/gi, "-")}.png`), fullPage: true });
  }
}

/**
 * Checks a state of the page, light and dark, on a phone and on a desktop: no violation of accessibility, and nothing wider
 * than the window.
 */
export async function checkState(page, name) {
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 1280]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height: 900 });
      const state = `${name}, ${colorScheme}, ${width} px`;
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) {
        await picture(page, `failed ${state}`);
      }
      assert.ok(wide <= 0, `${state}: ${wide} px wider than the window`);
      await page.evaluate(axeSource);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" ")}`);
      assert.deepEqual(found, [], state);
      await picture(page, state);
    }
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize(before);
}
