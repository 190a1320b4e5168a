// A Chromium that resolves the names of a test host to loopback and asks nobody on the Internet.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Runs `test(page, shot)` in a fresh browser; `shot(name)` keeps a screenshot. Exits with 1 if it throws. */
export async function inBrowser(test, options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "wcp360-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    headless: true,
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 800 },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.test 127.0.0.1",
    ],
    ...options,
  });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  const shot = (name) => page.screenshot({ path: join(process.env.WCP360_SCREENSHOTS, `${name}.png`) });
  try {
    await test(page, shot);
  } catch (error) {
    console.error(error);
    await shot("failure").catch(() => {});
    process.exitCode = 1;
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Throws unless `condition`. */
export function expect(condition, what) {
  if (!condition) throw new Error(`expected: ${what}`);
}
