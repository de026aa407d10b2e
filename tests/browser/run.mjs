// What a person does with the page, in a real browser: sees a hit appear, allows and blocks a name, and the next question
// proves it. Every page is looked at wide and narrow, light and dark: no console error, nothing from elsewhere, no sideways
// scrolling, no violation that axe-core knows of. Screenshots are left in target/screenshots.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { doors } from "./access.mjs";
import { attacks, STRANGER } from "./attacks.mjs";
import { ask, isRemembered, startAuthor, startDaemon, startUpstream, startWay } from "./home.mjs";
import { journeys } from "./journeys.mjs";
import * as pages from "./pages.mjs";

const AXE = readFileSync(join(import.meta.dirname, "node_modules/axe-core/axe.min.js"), "utf8");
const SHOTS = join(import.meta.dirname, "../../target/screenshots");
mkdirSync(SHOTS, { recursive: true });

const FLAGS =
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // A name by which a phone would find the page.
  args: [...FLAGS.split(" "), `--host-resolver-rules=MAP pixelsink.lan 127.0.0.1, MAP ${STRANGER} 127.0.0.1`],
});
const upstream = await startUpstream();
const daemon = await startDaemon(upstream.port);
const author = await startAuthor(Array.from({ length: 400 }, (_, index) => `||n${index}.author.example^\n`).join(""));

/** A tab of a window with these properties; what goes wrong in it is collected. */
async function open({ page = daemon.page, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const tab = await context.newPage();
  tab.wrong = [];
  tab.isOpenToAxe = options.bypassCSP ?? false;
  tab.on("console", (message) => ["error", "warning"].includes(message.type()) && tab.wrong.push(message.text()));
  tab.on("pageerror", (error) => tab.wrong.push(String(error)));
  tab.on("dialog", (dialog) => {
    tab.wrong.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  tab.on("request", (request) => request.url().startsWith(page) || tab.wrong.push(`asked ${request.url()}`));
  return tab;
}

/** The names in the log, the newest first. */
const names = (tab) => tab.locator("[data-rows] .name").allInnerTexts();

/** Says to the page that its tab is hidden or shown. */
const hide = (tab, hidden) =>
  tab.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);

/** A picture of the whole page, for whoever wants to look at it. */
const shoot = (tab, name) => tab.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });

/** Finds what is wrong with how a page looks: it scrolls sideways, or axe-core knows a violation. */
async function look(tab, name) {
  await shoot(tab, name);
  const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(sideways <= 0, `${name} scrolls sideways by ${sideways} px`);
  if (!tab.isOpenToAxe) return;
  await tab.evaluate(AXE);
  const { violations } = await tab.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], name);
}

/** Asks until the answer is this one: lists are put in force a moment after they change. */
async function isAnswered(name, address) {
  for (let tries = 0; ; tries += 1) {
    const answer = await ask(daemon.dns, name);
    if (answer === address) return;
    assert.ok(tries < 50, `${name} is ${answer} and not ${address}`);
    await new Promise((passed) => setTimeout(passed, 200));
  }
}

const isLive = (tab) => tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();

const tests = {
  async "a new hit appears on the overview without a reload"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/`);
    await tab.getByText("Nobody has asked pixelsink anything yet.").waitFor();
    await tab.evaluate(() => (window.sameDocument = true));
    await tab.evaluate(() => document.getElementById("note").append("a note"));
    await ask(daemon.dns, "t.pixel.example", "127.0.0.7");
    await tab.getByRole("link", { name: "Kitchen TV" }).first().waitFor({ timeout: 15_000 });
    await tab.locator(".big", { hasText: /^1$/ }).waitFor({ timeout: 15_000 });
    await ask(daemon.dns, "t.pixel.example", "127.0.0.8");
    await tab.locator(".big", { hasText: /^2$/ }).waitFor({ timeout: 15_000 });
    assert.equal(await tab.evaluate(() => window.sameDocument), true, "the page was not loaded again");
    assert.equal(await tab.locator("#note").innerText(), "a note");
    assert.deepEqual(tab.wrong, []);
  },

  async "the log shows a question live; allow and block there change the next answer"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/log`);
    assert.equal(await ask(daemon.dns, "ads.beacon.example", "127.0.0.8"), "0.0.0.0");
    const row = tab.locator("tr", { hasText: "ads.beacon.example" }).first();
    await row.waitFor({ timeout: 15_000 });
    assert.match(await row.innerText(), /Anna's phone[\s\S]*blocked[\s\S]*trackers: \|\|beacon\.example\^/);
    await row.getByRole("button", { name: /allow/i }).click();
    await tab.getByText(/is let through from now on/).waitFor();
    assert.equal(await ask(daemon.dns, "ads.beacon.example", "127.0.0.8"), "198.51.100.1");

    assert.equal(await ask(daemon.dns, "shop.example", "127.0.0.7"), "198.51.100.1");
    const shop = tab.locator("tr", { hasText: "shop.example" }).first();
    await shop.waitFor({ timeout: 15_000 });
    await shop.getByRole("button", { name: /block/i }).click();
    await tab.getByText(/is blocked from now on/).waitFor();
    assert.equal(await ask(daemon.dns, "shop.example", "127.0.0.7"), "0.0.0.0");
    assert.deepEqual(tab.wrong, []);
  },

  async "a question that comes while a button's reload is under way stays in the log"() {
    const tab = await open();
    await ask(daemon.dns, "before.example", "127.0.0.7");
    await tab.goto(`${daemon.page}/log`);
    await isLive(tab);
    await tab.waitForTimeout(1200);
    await tab.route("**/log", async (route) => {
      const older = await route.fetch();
      await ask(daemon.dns, "meanwhile.example", "127.0.0.7");
      await new Promise((passed) => setTimeout(passed, 300));
      await route.fulfill({ response: older });
    });
    const row = tab.locator("tr", { hasText: "before.example" }).first();
    await row.getByRole("button", { name: /block/i }).click();
    await tab.getByText(/is blocked from now on/).waitFor();
    await tab.mouse.move(0, 0);
    await tab.locator("tr", { hasText: "meanwhile.example" }).waitFor({ timeout: 15_000 });
    await tab.waitForTimeout(500);
    assert.equal((await names(tab)).filter((name) => name === "meanwhile.example").length, 1);
    assert.deepEqual(tab.wrong, []);
  },

  async "rows wait for a pointer to leave their buttons"() {
    const tab = await open();
    await ask(daemon.dns, "pointed-at.example", "127.0.0.7");
    await tab.goto(`${daemon.page}/log`);
    await isLive(tab);
    await tab.waitForTimeout(1200);
    const before = await names(tab);
    await tab.locator("tr", { hasText: "pointed-at.example" }).first().getByRole("button").hover();
    await ask(daemon.dns, "behind-a-pointer.example", "127.0.0.7");
    await tab.getByText("1 more").waitFor({ timeout: 15_000 });
    assert.deepEqual(await names(tab), before);
    await tab.mouse.move(5, 5);
    await tab.locator("tr", { hasText: "behind-a-pointer.example" }).waitFor({ timeout: 15_000 });
    assert.deepEqual(tab.wrong, []);
  },

  async "held rows stay as they are, and Go on brings all that was missed"() {
    const tab = await open();
    await ask(daemon.dns, "held.example", "127.0.0.7");
    await tab.goto(`${daemon.page}/log`);
    await isLive(tab);
    await tab.waitForTimeout(1200);
    const before = await names(tab);
    await tab.getByRole("button", { name: "Hold" }).click();
    await ask(daemon.dns, "missed-1.example", "127.0.0.7");
    await tab.getByText("1 more").waitFor({ timeout: 15_000 });
    await tab.locator("tr", { hasText: "held.example" }).first().getByRole("button", { name: /block/i }).click();
    await tab.getByText(/is blocked from now on/).waitFor();
    await hide(tab, true);
    await ask(daemon.dns, "missed-2.example", "127.0.0.7");
    await isRemembered(daemon.page, "missed-2.example");
    const stream = tab.waitForResponse(/events\/live/);
    await hide(tab, false);
    await stream;
    await ask(daemon.dns, "missed-3.example", "127.0.0.7");
    await tab.getByText("2 more").waitFor({ timeout: 15_000 });
    await tab.waitForTimeout(1200);
    assert.deepEqual(await names(tab), before);
    await tab.getByRole("button", { name: "Go on" }).click();
    await tab.locator("tr", { hasText: "missed-2.example" }).waitFor({ timeout: 15_000 });
    assert.deepEqual((await names(tab)).slice(0, 4), [
      "missed-3.example",
      "missed-2.example",
      "missed-1.example",
      before[0],
    ]);
    assert.deepEqual(tab.wrong, []);
  },

  async "what happened while the stream was cut is in the log, also when rows were held then"() {
    const way = await startWay(daemon.page);
    for (const isHeld of [false, true]) {
      const tab = await open();
      await tab.goto(`${way.page}/log`);
      await isLive(tab);
      await tab.waitForTimeout(1200);
      const before = await names(tab);
      if (isHeld) await tab.getByRole("button", { name: "Hold" }).click();
      way.cut();
      const name = `cut-${isHeld}.example`;
      await ask(daemon.dns, name, "127.0.0.8");
      await tab.getByText("not live").waitFor({ timeout: 15_000 });
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor({ timeout: 15_000 });
      if (isHeld) {
        await tab.waitForTimeout(1200);
        assert.deepEqual(await names(tab), before);
        await tab.getByRole("button", { name: "Go on" }).click();
      }
      await tab.locator("tr", { hasText: name }).waitFor({ timeout: 15_000 });
      assert.equal((await names(tab))[0], name);
      await tab.context().close();
    }
    way.stop();
  },

  async "a question of a hidden tab fills an empty log"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/log?name=nobody-asks-this`);
    await isLive(tab);
    assert.equal(await tab.locator("[data-empty]").count(), 1);
    await hide(tab, true);
    await ask(daemon.dns, "nobody-asks-this.example", "127.0.0.8");
    await hide(tab, false);
    await tab.locator("tr", { hasText: "nobody-asks-this.example" }).waitFor({ timeout: 15_000 });
    assert.equal(await tab.locator("[data-empty]").count(), 0);
    assert.deepEqual(tab.wrong, []);
  },

  async "without JavaScript the buttons work and the rules are taken back"() {
    const tab = await open({ javaScriptEnabled: false });
    await tab.goto(`${daemon.page}/rules`);
    const row = tab.locator("tr", { hasText: "shop.example" });
    await row.getByRole("button").click();
    await tab.waitForURL(/\/rules/);
    assert.equal(await tab.locator("tr", { hasText: "shop.example" }).count(), 0);
    assert.equal(await ask(daemon.dns, "shop.example"), "198.51.100.1");
    await tab.goto(`${daemon.page}/log`);
    await tab.locator("tr", { hasText: "t.pixel.example" }).first().getByRole("button", { name: /allow/i }).click();
    assert.equal(await ask(daemon.dns, "t.pixel.example"), "198.51.100.1");
    await tab.goto(`${daemon.page}/explain?name=t.pixel.example`);
    assert.match(await tab.locator("main").innerText(), /own rules/);
    assert.deepEqual(tab.wrong, []);
  },

  async "a list is refreshed from its button"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/lists`);
    assert.match(await tab.locator("main").innerText(), /trackers[\s\S]*adblock/i);
    await tab.getByRole("button", { name: /refresh/i }).first().click();
    await tab.getByText(/up to date/).first().waitFor();
    assert.deepEqual(tab.wrong, []);
  },

  async "a rule that is held back is told on the overview, and blocks when it is accepted by a click"() {
    const tab = await open();
    await isAnswered("metrics.example", "0.0.0.0");
    await isAnswered("www.google.com", "198.51.100.1");
    await tab.goto(`${daemon.page}/`);
    const problem = tab.locator("li", { hasText: "1 rule of it is held back" });
    assert.match(await problem.innerText(), /mine: .*\|\|google\.com\^, because it would block google\.com/);
    await problem.getByRole("link", { name: "See the list" }).click();
    await tab.waitForURL(`${daemon.page}/lists/mine`);
    const row = tab.locator("tr", { hasText: "||google.com^" });
    assert.match(await row.innerText(), /2\s+it would block google\.com/);
    await row.getByRole("button", { name: "Accept ||google.com^ of mine" }).click();
    await tab.getByText(/was accepted and is in force/).waitFor();
    await row.waitFor({ state: "detached" });
    await isAnswered("www.google.com", "0.0.0.0");
    await tab.goto(`${daemon.page}/explain?name=www.google.com`);
    assert.match(await tab.locator("main").innerText(), /Without mine it would pass/);
    assert.deepEqual(tab.wrong, []);
  },

  async "a list is rolled back by a click and follows its source again"() {
    const tab = await open();
    writeFileSync(daemon.list, "||metrics.example^\n||newer.example^\n||wikipedia.org^\n");
    await isAnswered("newer.example", "0.0.0.0");
    await tab.goto(`${daemon.page}/lists`);
    await tab.getByRole("link", { name: "Revisions of mine" }).click();
    const kept = tab.locator("[data-part=revisions] tbody tr");
    assert.equal(await kept.count(), 2);
    await tab.getByRole("button", { name: "Compare" }).click();
    await tab.getByText("2 rules came and 1 rule went.").waitFor();
    assert.match(await tab.locator("[data-part=changes]").innerText(), /Came[\s\S]*newer[\s\S]*Went[\s\S]*google/);
    await tab.getByRole("button", { name: /^Roll back mine/ }).click();
    await tab.getByText(/is held at its revision/).waitFor();
    await isAnswered("newer.example", "198.51.100.1");
    await tab.getByRole("button", { name: "Follow again mine" }).click();
    await tab.getByText(/follows its source again/).waitFor();
    await isAnswered("newer.example", "0.0.0.0");
    assert.equal(await tab.getByText("You hold this list").count(), 0);
    assert.deepEqual(tab.wrong, []);
  },

  async "a newer text that is nothing like the one before waits, and is accepted by a click"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/known-lists`);
    await tab.getByLabel("URL, path of a file").fill(`${author.url}shrinking.txt`);
    await tab.getByLabel("Name", { exact: true }).fill("shrinking");
    await tab.locator("section", { hasText: "One of your own" }).getByRole("button", { name: "Add" }).click();
    await tab.getByText(/shrinking was added/).waitFor();
    await isAnswered("n399.author.example", "0.0.0.0");
    author.text = "||new.author.example^\n||n1.author.example^\n";
    await tab.goto(`${daemon.page}/lists`);
    await tab.getByRole("button", { name: "Refresh shrinking" }).click();
    await tab.getByText("A newer text waits for your word.").first().waitFor();
    await shoot(tab, "waiting");
    await tab.goto(`${daemon.page}/`);
    const problem = tab.locator("li", { hasText: "A newer text waits for your word." });
    await problem.getByRole("link", { name: "See the list" }).click();
    await tab.getByRole("link", { name: "What would change" }).click();
    await tab.getByText("1 rule came and 399 rules went.").waitFor();
    await shoot(tab, "changes");
    await isAnswered("n399.author.example", "0.0.0.0");
    await tab.getByRole("button", { name: "Accept the newer text of shrinking" }).first().click();
    await tab.getByText(/The newer text of shrinking was accepted/).waitFor();
    await isAnswered("n399.author.example", "198.51.100.1");
    await isAnswered("new.author.example", "0.0.0.0");
    await tab.getByRole("button", { name: "Remove shrinking" }).click();
    await tab.getByText(/shrinking was removed/).waitFor();
    assert.deepEqual(tab.wrong, []);
  },

  async "a list is added and removed, with and without JavaScript"() {
    const file = `${daemon.directory}/added.txt`;
    writeFileSync(file, "||added.example^\n");
    for (const javaScriptEnabled of [true, false]) {
      const tab = await open({ javaScriptEnabled });
      await tab.goto(`${daemon.page}/lists`);
      await tab.getByRole("link", { name: "Add a list" }).click();
      await tab.getByLabel("URL, path of a file").fill(file);
      await tab.getByLabel("Syntax").selectOption("adblock");
      await tab.locator("section", { hasText: "One of your own" }).getByRole("button", { name: "Add" }).click();
      await tab.getByText(/added was added/).waitFor();
      await isAnswered("a.added.example", "0.0.0.0");
      await tab.goto(`${daemon.page}/lists`);
      await tab.getByRole("button", { name: "Remove added" }).click();
      await tab.getByText(/added was removed/).waitFor();
      assert.equal(await tab.getByRole("heading", { name: /^added/ }).count(), 0);
      await isAnswered("a.added.example", "198.51.100.1");
      assert.deepEqual(tab.wrong, []);
    }
  },

  async "a well-known list is found, added, marked and removed"() {
    const tab = await open();
    await tab.goto(`${daemon.page}/known-lists`);
    await tab.getByRole("searchbox", { name: "Words to look for" }).fill("easyprivacy");
    await tab.getByRole("button", { name: "Search" }).click();
    await tab.getByRole("button", { name: "Add easyprivacy" }).click();
    await tab.getByText(/easyprivacy was added/).waitFor();
    await tab.getByRole("link", { name: /there.*easyprivacy/ }).click();
    await tab.getByRole("button", { name: "Remove easyprivacy" }).click();
    await tab.getByText(/easyprivacy was removed/).waitFor();
    assert.equal(new URL(tab.url()).pathname, "/lists");
    assert.deepEqual(tab.wrong, []);
  },

  async "names from the network are text, whatever they hold"() {
    for (const label of ["<img src=x onerror=alert(1)>", "\"><script>alert(1)</script>", "{{7*7}}", "a'b\"c&d"]) {
      await ask(daemon.dns, `${label}.pixel.example`, "127.0.0.7");
      await ask(daemon.dns, `${label}.fine.example`, "127.0.0.7");
    }
    const tab = await open();
    for (const path of ["/", "/log", "/devices/127.0.0.7"]) {
      await tab.goto(daemon.page + path);
      await tab.waitForTimeout(100);
      assert.equal(await tab.locator("main img, main script").count(), 0, path);
      assert.match(await tab.locator("main").innerText(), /onerror/, path);
    }
    await ask(daemon.dns, "<svg onload=alert(2)>.pixel.example", "127.0.0.7");
    await tab.goto(`${daemon.page}/log`);
    await ask(daemon.dns, "<svg onload=alert(3)>.beacon.example", "127.0.0.7");
    await tab.getByText("onload=alert(3)").first().waitFor();
    assert.deepEqual(tab.wrong, []);
  },

  ...journeys({ daemon, open, shoot }),

  async "every page is fit to be seen, wide and narrow, light and dark"() {
    const pages = {
      overview: "/",
      devices: "/devices",
      device: "/devices/127.0.0.7",
      log: "/log",
      lists: "/lists",
      list: "/lists/mine?from=&to=waiting",
      known: "/known-lists",
      found: "/known-lists?q=tv",
      rules: "/rules",
      wrong: "/rules?rule=a%20b",
      tried: "/rules?rule=pixel.example&device=127.0.0.7",
      fix: "/devices/127.0.0.7/fix?minutes=60",
      fixed: "/devices/192.0.2.98/fix",
      pick: "/fix",
      health: "/health",
      help: "/help",
      explain: "/explain?name=www.google-analytics.com",
      several: "/explain?name=t.pixel.example",
    };
    writeFileSync(daemon.list, `||metrics.example^\n||github.com^\n||pixel.example^\n||${"long.".repeat(40)}wikipedia.org^\n@@||co.uk^\nnot a rule\n`);
    await isAnswered("newer.example", "198.51.100.1");
    for (const width of [1280, 360]) {
      for (const colorScheme of ["light", "dark"]) {
        const tab = await open({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
        for (const [name, path] of Object.entries(pages)) {
          await tab.goto(daemon.page + path);
          await look(tab, `${name}-${width}-${colorScheme}`);
        }
        assert.deepEqual(tab.wrong, []);
        await tab.context().close();
      }
    }
  },
};

let passed = 0;
let failed = 0;
const door = doors({ upstream, open, shoot, look });
const attack = attacks({ daemon, upstream, open, shoot });
const others = [...[pages].map((file) => file.tests({ daemon, open, shoot })), door.tests, attack.tests];
// Those whose names have the words that were given; all, otherwise.
const isWanted = ([name]) => process.argv.slice(2).every((word) => name.includes(word));
for (const [name, test] of Object.entries(Object.assign(tests, ...others)).filter(isWanted)) {
  try {
    await test();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
await browser.close();
await daemon.stop();
await door.stop();
await attack.stop();
upstream.stop();
author.stop();
console.log(`browser: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
