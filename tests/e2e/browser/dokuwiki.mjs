// DokuWiki is installed through its own page, then a page is written, saved, read and edited again.
import { expect, inBrowser } from "./browser.mjs";

const site = "https://wiki.test";

await inBrowser(async (page, shot) => {
  await page.goto(`${site}/install.php`);
  await shot("dokuwiki-install");
  await page.fill('input[name="d[title]"]', "Alice's wiki");
  await page.fill('input[name="d[superuser]"]', "alice");
  await page.fill('input[name="d[fullname]"]', "Alice");
  await page.fill('input[name="d[email]"]', "alice@wiki.test");
  await page.fill('input[name="d[password]"]', "a long enough password");
  await page.fill('input[name="d[confirm]"]', "a long enough password");
  const licence = page.locator('input[name="d[license]"][value="cc-by-sa"]');
  if (await licence.count()) await licence.check();
  await page.locator('form button[type="submit"], form input[type="submit"]').last().click();
  await page.waitForLoadState();
  await shot("dokuwiki-installed");

  await page.goto(`${site}/doku.php?id=start&do=login`);
  await page.fill('input[name="u"]', "alice");
  await page.fill('input[name="p"]', "a long enough password");
  await page.locator('#dw__login button[type="submit"]').click();
  await page.waitForLoadState();

  for (const text of ["Served by WCP360.", "Served and edited by WCP360."]) {
    await page.goto(`${site}/doku.php?id=garden&do=edit`);
    await page.fill('textarea[name="wikitext"]', `====== Garden ======\n\n${text}\n`);
    await page.locator('button[name="do[save]"]').click();
    await page.waitForLoadState();
    await page.goto(`${site}/doku.php?id=garden`);
    const shown = await page.locator("#dokuwiki__content").innerText();
    expect(shown.includes(text), `"${text}" in ${shown}`);
  }
  await shot("dokuwiki-page");
  const style = await page.evaluate(() => document.styleSheets.length);
  expect(style > 0, "DokuWiki's style sheets are loaded");
  console.log("DokuWiki: installed, logged in, wrote and edited a page");
});
