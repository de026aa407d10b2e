// A browser in the home (see run): is each hit with the right device and company? Pictures of every page, wide and narrow,
// light and dark, are left in target/screenshots.
//   node look.mjs PAGE direct|nat

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [page, kind] = process.argv.slice(2);
const { chromium } = createRequire(join(import.meta.dirname, "../browser/run.mjs"))("playwright-core");
const SHOTS = join(import.meta.dirname, "../../target/screenshots");
mkdirSync(SHOTS, { recursive: true });

const get = async (path) => {
  const answer = await fetch(`${page}/api/v1/${path}`);
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
};

/** Whom each device met, and how often. */
const EXPECTED = {
  "00:00:f0:7a:21:01": { name: "living-room-tv", hits: 22, companies: { "Samba TV": 12, Samsung: 10 } },
  "5a:3c:91:22:b0:7e": { name: "Annas-iPhone", hits: 17, companies: { AppsFlyer: 9, Google: 4, Meta: 4 } },
  "00:03:93:5e:10:23": { name: "annas-laptop", hits: 20, companies: { Google: 8, AppsFlyer: 5 } },
  "00:bc:99:10:3f:a2": { name: /Hikvision.*3f:a2/, hits: 6, companies: { Xiaomi: 6 } },
};

const devices = await get("devices?hours=24");
if (kind === "nat") {
  // The laptop's browser has asked for nothing here; all that devices asked came from one address.
  assert.equal(devices.filter((device) => device.queries > 0).length, 1, JSON.stringify(devices));
} else {
  for (const [key, { name, hits, companies }] of Object.entries(EXPECTED)) {
    const device = devices.find(({ device }) => device.key === key);
    assert.ok(device, `${key} is none of ${devices.map(({ device }) => device.key)}`);
    assert.equal(device.hits, hits, `hits of ${key}`);
    if (name instanceof RegExp) assert.match(device.device.name, name);
    else assert.equal(device.device.name, name);
    const met = Object.fromEntries((await get(`companies?hours=24&device=${key}`)).map((company) => [company.name, company.hits]));
    for (const [company, hits] of Object.entries(companies)) assert.equal(met[company], hits, `${company} on ${key}: ${JSON.stringify(met)}`);
    console.log(`${key} is ${device.device.name}: ${device.hits} hits, ${Object.entries(met).map((it) => it.join(" ")).join(", ")}`);
  }
  const [cloaked] = await get("events?name_contains=measure.shop.example&hits_only=true&limit=1");
  assert.equal(cloaked.behind, "t.appsflyer.com");
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const tv = kind === "nat" ? devices.find((device) => device.queries > 0).device.key : "00:00:f0:7a:21:01";
const PAGES = {
  overview: "/",
  devices: "/devices",
  device: `/devices/${encodeURIComponent(tv)}`,
  fix: `/devices/${encodeURIComponent(tv)}/fix`,
  companies: "/companies",
  company: "/companies/AppsFlyer",
  log: "/log",
  hits: "/log?verdict=blocked",
  lists: "/lists",
  rules: "/rules",
  explain: "/explain?name=www.google-analytics.com",
  health: "/health",
  help: "/help",
  report: "/report",
};
for (const [size, width, height] of [["wide", 1280, 900], ["phone", 360, 740]]) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme });
    const tab = await context.newPage();
    for (const [name, path] of Object.entries(PAGES)) {
      const answer = await tab.goto(page + path);
      assert.equal(answer.status(), 200, path);
      if (kind === "nat" && ["overview", "devices", "health"].includes(name)) {
        assert.ok(await tab.locator('a[href*="/help#router"]').first().isVisible(), `${path} does not say that one router asks for all`);
      }
      const sideways = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(sideways <= 0, `${path} is ${sideways} px too wide on a ${size} screen`);
      await tab.screenshot({ path: join(SHOTS, `home-${kind}-${name}-${size}-${colorScheme}.png`), fullPage: true });
    }
    await context.close();
  }
}
await browser.close();
console.log(`every page was looked at; the pictures are in ${SHOTS}`);
