// The bundle of Firebase's SDK is what the lock file and the source give, and the page is small without it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const hosting = fileURLToPath(new URL("..", import.meta.url));
const scripts = join(hosting, "public/js");
/** The most bytes of script that the page loads before somebody signs in with Firebase. */
const MOST_BYTES = 150_000;

test("the bundle is current: `npm run bundle` in hosting/ makes it", () => {
  const folder = mkdtempSync(join(tmpdir(), "bundle-"));
  try {
    const file = join(folder, "firebase-auth.js");
    execFileSync("npm", ["run", "--silent", "bundle", "--", `--outfile=${file}`, "--log-level=error"], { cwd: hosting });
    assert.ok(readFileSync(file).equals(readFileSync(join(scripts, "firebase-auth.js"))), "public/js/firebase-auth.js is not current");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the page's own script is small, and Firebase's SDK is loaded on demand only", () => {
  const own = readdirSync(scripts).filter((name) => name !== "firebase-auth.js");
  const bytes = own.reduce((sum, name) => sum + readFileSync(join(scripts, name)).length, 0);
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  for (const name of own) {
    assert.doesNotMatch(readFileSync(join(scripts, name), "utf8"), /from "\.\/firebase-auth\.js"/, name);
  }
});
