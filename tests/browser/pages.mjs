// The pages that tell who tracks whom: fit to be seen in both colour schemes, wide and narrow; safe with hostile names; light
// on the wire; usable by keyboard and without a script.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ask } from "./home.mjs";

const AXE = readFileSync(join(import.meta.dirname, "node_modules/axe-core/axe.min.js"), "utf8");

/** The most that a first visit may load, in octets on the wire. */
const WEIGHT_MAX = 150_000;

const PHONE = "127.0.0.8";
const TV = "127.0.0.7";

/** Names as a hostile device could ask for them; each label is Latin-1 octets. */
const HOSTILE = [
  "<img src=x onerror=alert(1)>.pixel.example",
  "\"><script>alert(1)</script>.pixel.example",
  "' onfocus='alert(1).pixel.example",
  // A mark that turns the direction of what follows (U+202E), in UTF-8.
  "\xe2\x80\xaegnp.exe.pixel.example",
  "\x00\x1b[31m\r\n.pixel.example",
  // A homograph of apple, as it is asked for.
  "xn--pple-43d.pixel.example",
  // 255 octets on the wire.
  `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(46)}.pixel.example`,
];

/** The pages, by the names of their screenshots. */
export const PAGES = {
  "overview-week": "/?hours=168",
  "overview-month": "/?hours=720",
  "device-day": `/devices/${PHONE}?hours=24`,
  "device-month": `/devices/${PHONE}?hours=720`,
  companies: "/companies",
  "companies-of-device": `/companies?device=${PHONE}&sort=name&hours=24`,
  company: "/companies/Google",
  "company-unknown": "/companies/pixel.example",
  "company-not-met": "/companies/Adjust",
  "log-filtered": `/log?device=${PHONE}&verdict=blocked&type=A&from=1h&company=Google`,
  "log-empty": "/log?name=nobody-ever-asks-this",
  report: "/report?week=this",
  "report-device": `/report?week=this&device=${PHONE}`,
  "report-empty": "/report?week=2020-W01",
};

/** The tests; `home` has `daemon`, `open` (a tab) and `shoot`. */
export function tests({ daemon, open, shoot }) {
  const go = (tab, path) => tab.goto(daemon.page + path);
  return {
    async "who tracks whom is told on every page that should tell it"() {
      for (const name of ["www.google-analytics.com", "app-measurement.com", "shop.fine.example"]) {
        for (let times = 0; times < 3; times += 1) await ask(daemon.dns, name, PHONE);
      }
      const tab = await open();
      await go(tab, `/devices/${PHONE}`);
      assert.match(await tab.locator("[data-part=headline]").innerText(), /Anna's phone was tracked by \d+ compan/);
      await tab.locator("[data-part=companies]").getByRole("link", { name: "Google", exact: true }).click();
      await tab.waitForURL(/\/companies\/Google$/);
      assert.match(await tab.locator("[data-part=sentence]").innerText(), /^Blocked \d+ times on 1 device in the last 7 days/);
      assert.match(await tab.locator("[data-part=what]").innerText(), /Google Analytics[\s\S]*web analytics/);
      await tab.locator("[data-part=devices]").getByRole("link", { name: "Anna's phone" }).waitFor();
      await tab.locator("[data-part=names]").getByRole("link", { name: "app-measurement.com" }).waitFor();
      await go(tab, "/companies");
      await tab.locator("[data-part=companies]").getByRole("link", { name: "Google", exact: true }).first().waitFor();
      await go(tab, "/report?week=this");
      assert.match(await tab.locator("main").innerText(), /questions were blocked[\s\S]*Google[\s\S]*Anna's phone/);
      assert.deepEqual(tab.wrong, []);
    },

    async "a chart tells the exact numbers to a pointer, a finger and the keyboard"() {
      await ask(daemon.dns, "www.google-analytics.com", PHONE);
      const tab = await open();
      await go(tab, "/");
      // The counts may change with a fresh copy at any time, and so may the picture.
      const reads = async (tab, pattern, not) => {
        const readout = tab.locator("[data-readout]").first();
        for (let tries = 0; tries < 50; tries += 1) {
          const text = await readout.innerText();
          if (pattern.test(text) && text !== not) return text;
          await tab.waitForTimeout(100);
        }
        assert.fail(`${await readout.innerText()} is not ${pattern}, or still ${not}`);
      };
      const summary = /^[\d,]+ blocked of [\d,]+ questions?\.$/;
      const exact = /^\w{3} \d\d:00–\d\d:00: [\d,]+ blocked of [\d,]+$/;
      await reads(tab, summary);
      await tab.locator("#chart .bar").last().hover({ force: true });
      const pointed = await reads(tab, exact);
      await ask(daemon.dns, "www.google-analytics.com", PHONE);
      // What is pointed at stays so in a fresh copy, which counts one more.
      assert.equal((await reads(tab, exact, pointed)).split(": ")[0], pointed.split(": ")[0]);
      await tab.mouse.move(0, 0);
      await reads(tab, summary);
      await tab.locator("#chart").focus();
      await tab.keyboard.press("End");
      const last = await reads(tab, exact);
      await tab.keyboard.press("ArrowLeft");
      await reads(tab, exact, last);
      await tab.keyboard.press("Escape");
      await reads(tab, summary);
      const phone = await open({ viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true });
      await go(phone, "/");
      await phone.locator("#chart .bar").nth(20).tap({ force: true });
      const tapped = await reads(phone, exact);
      const before = await phone.locator("[data-part=first]").innerText();
      await ask(daemon.dns, "www.google-analytics.com", PHONE);
      await phone.waitForFunction((text) => document.querySelector("[data-part=first]").innerText !== text, before);
      assert.equal((await reads(phone, exact)).split(": ")[0], tapped.split(": ")[0]);
      await phone.waitForFunction(() => getComputedStyle(document.querySelector("#chart text")).fontSize === "12px");
      await phone.context().close();
      const bare = await open({ javaScriptEnabled: false });
      await go(bare, "/");
      await bare.getByText("The same as a table").click();
      assert.equal(await bare.locator(".chart tbody tr").count(), 24);
      assert.deepEqual([...tab.wrong, ...phone.wrong, ...bare.wrong], []);
    },

    async "the log is filtered by its form, grows on scrolling, and leads on without a script"() {
      for (let number = 0; number < 260; number += 1) await ask(daemon.dns, `n${number}.scroll.example`, TV);
      const bare = await open({ javaScriptEnabled: false });
      await go(bare, "/log");
      await bare.getByLabel("Name contains").fill("scroll.example");
      await bare.getByLabel("Device").selectOption({ label: "Kitchen TV" });
      await bare.getByRole("button", { name: "Filter" }).click();
      await bare.waitForURL(/name=scroll\.example/);
      assert.equal(await bare.locator("[data-log] tr").count(), 100);
      await bare.getByRole("link", { name: "Older" }).click();
      await bare.waitForURL(/before=/);
      assert.equal(await bare.locator("[data-log] .name").first().innerText(), "n159.scroll.example");
      const tab = await open();
      await go(tab, "/log?name=scroll.example");
      for (let tries = 0; (await tab.locator("[data-log] tr").count()) < 260; tries += 1) {
        assert.ok(tries < 40, `${await tab.locator("[data-log] tr").count()} rows`);
        await tab.mouse.wheel(0, 20_000);
        await tab.waitForTimeout(150);
      }
      const shown = await tab.locator("[data-log] .name").allInnerTexts();
      assert.equal(new Set(shown).size, 260, "each once");
      await tab.locator("[data-older]").waitFor({ state: "detached" });
      // A live row comes in at the top, and what was scrolled to stays.
      await ask(daemon.dns, "newest.scroll.example", TV);
      await tab.locator("tr", { hasText: "newest.scroll.example" }).waitFor();
      await tab.waitForTimeout(1500);
      assert.equal(await tab.locator("[data-log] tr").count(), 261);
      assert.deepEqual([...bare.wrong, ...tab.wrong], []);
    },

    async "live rows obey the filters of the address"() {
      const tab = await open();
      await go(tab, `/log?verdict=blocked&type=AAAA&device=${PHONE}`);
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();
      await tab.waitForTimeout(1200);
      await ask(daemon.dns, "one.beacon.example", PHONE, 1);
      await ask(daemon.dns, "two.beacon.example", TV, 28);
      await ask(daemon.dns, "three.fine.example", PHONE, 28);
      await ask(daemon.dns, "www.google-analytics.com", PHONE, 28);
      await tab.locator("tr", { hasText: "www.google-analytics.com" }).first().waitFor();
      assert.deepEqual(await tab.locator("[data-rows] .name").allInnerTexts(), ["www.google-analytics.com"]);
      await tab.locator("[data-rows]").getByRole("link", { name: "Google", exact: true }).first().click();
      await tab.waitForURL(/\/companies\/Google$/);
      assert.deepEqual(tab.wrong, []);
    },

    async "rows are ordered by their heads, on the server and in place"() {
      const tab = await open();
      await go(tab, "/companies");
      await tab.locator("thead").getByRole("link", { name: "Order by Company" }).click();
      await tab.waitForURL(/sort=name/);
      const companies = await tab.locator("tbody .company").allInnerTexts();
      assert.deepEqual(companies, [...companies].sort((one, other) => one.toLowerCase().localeCompare(other.toLowerCase(), "en")));
      assert.equal(await tab.locator("th[aria-sort]").getAttribute("aria-sort"), "ascending");
      await go(tab, `/devices/${PHONE}`);
      const names = () => tab.locator("[data-part=names] .name").allInnerTexts();
      await tab.locator("[data-part=names]").getByRole("button", { name: "Order by Name" }).press("Enter");
      assert.deepEqual(await names(), (await names()).sort((one, other) => one.localeCompare(other)));
      assert.equal(await tab.locator("[data-part=names] th[aria-sort]").getAttribute("aria-sort"), "ascending");
      // A fresh copy of the table leaves the focus where it was.
      const asked = "head-has-the-focus.pixel.example";
      await ask(daemon.dns, asked, PHONE);
      await tab.locator("[data-part=names] .name", { hasText: asked }).waitFor({ timeout: 10_000 });
      assert.equal(await tab.evaluate(() => document.activeElement.ariaLabel), "Order by Name");
      assert.deepEqual(await names(), (await names()).sort((one, other) => one.localeCompare(other)));
      assert.deepEqual(tab.wrong, []);
    },

    async "hostile names are text on every page that shows them, also when they come in live"() {
      for (const name of HOSTILE) await ask(daemon.dns, name, PHONE);
      const tab = await open();
      const pages = [
        "/",
        "/log?name=pixel.example",
        `/devices/${PHONE}`,
        "/companies",
        "/companies/pixel.example",
        "/report?week=this",
        `/log?name=${encodeURIComponent("\"><script>alert(1)</script>")}`,
        `/log?company=${encodeURIComponent("'\"><img src=x onerror=alert(1)>")}`,
        `/companies/${encodeURIComponent("<script>alert(1)</script>")}`,
      ];
      for (const path of pages) {
        await go(tab, path);
        await tab.waitForTimeout(150);
        assert.equal(await tab.locator("main img, main script, main iframe").count(), 0, path);
        const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(sideways <= 0, `${path} scrolls sideways by ${sideways} px`);
      }
      await go(tab, "/log?name=pixel.example");
      const text = await tab.locator("[data-log]").innerText();
      assert.match(text, /xn--pple-43d\.pixel\.example/, "a homograph is shown as it is asked for");
      assert.doesNotMatch(text, /[\u0000-\u0008\u001b\u202e]/, "nothing acts on the text");
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();
      for (const name of HOSTILE) await ask(daemon.dns, name, TV);
      await tab.locator("tr", { hasText: "Kitchen TV" }).filter({ hasText: "onerror" }).first().waitFor();
      assert.equal(await tab.locator("main img, main script, main iframe").count(), 0);
      // A page that is not there says so: 404 is told on the console, and is no fault of ours.
      assert.deepEqual(tab.wrong.filter((told) => !/status of 404/.test(told)), []);
    },

    async "a first visit is light, and asks nobody else"() {
      for (const path of ["/", `/devices/${PHONE}`, "/companies", "/log", "/report?week=this"]) {
        const tab = await open();
        const wire = await tab.context().newCDPSession(tab);
        await wire.send("Network.enable");
        let weight = 0;
        wire.on("Network.loadingFinished", ({ encodedDataLength }) => (weight += encodedDataLength));
        await go(tab, path);
        await tab.waitForTimeout(400);
        console.log(`      ${path} weighs ${(weight / 1000).toFixed(1)} kB on the wire`);
        assert.ok(weight < WEIGHT_MAX, `${path} weighs ${weight}`);
        const shift = () =>
          tab.evaluate(
            () =>
              new Promise((told) => {
                let sum = 0;
                const add = (list) => list.getEntries().forEach((it) => (sum += it.value));
                new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
                setTimeout(() => told(sum), 300);
              }),
          );
        // What comes in live meanwhile moves the page too; loading alone must not.
        let shifted = await shift();
        for (let tries = 0; tries < 3 && 0.05 <= shifted; tries += 1) {
          await tab.waitForTimeout(2_000);
          await go(tab, path);
          await tab.waitForTimeout(400);
          shifted = await shift();
        }
        assert.ok(shifted < 0.05, `${path} shifts by ${shifted}`);
        assert.deepEqual(tab.wrong, []);
        await tab.context().close();
      }
    },

    async "the pages are fit to be seen, wide and narrow, light and dark"() {
      for (const name of ["www.google-analytics.com", "t.pixel.example"]) await ask(daemon.dns, name, PHONE);
      for (const width of [1280, 360]) {
        for (const colorScheme of ["light", "dark"]) {
          const tab = await open({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
          for (const [name, path] of Object.entries(PAGES)) {
            const where = `${name} ${width} ${colorScheme}`;
            await go(tab, path);
            await shoot(tab, `${name}-${width}-${colorScheme}`);
            const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
            assert.ok(sideways <= 0, `${where} scrolls sideways by ${sideways} px`);
            await tab.evaluate(AXE);
            const { violations } = await tab.evaluate(() => window.axe.run());
            const told = violations.map((violation) => `${violation.id}: ${violation.nodes[0].html}`);
            assert.deepEqual(told, [], where);
          }
          assert.deepEqual(tab.wrong, []);
          await tab.context().close();
        }
      }
    },
  };
}
