// What each page weighs over the wire and how soon it can be used, in a browser whose processor is slowed down four times.
//
// "First" is a visit with an empty cache: octets of all that the page asks for, as the network carries them. "Usable" is the
// time from the click on a link to the page until its content and script have run and the main thread has been free of tasks
// longer than 50 ms since (the definition of "time to interactive"; the page asks for nothing more meanwhile). The median of
// RUNS visits.

import { createRequire } from "node:module";
import { join } from "node:path";
import { ask, startDaemon, startUpstream } from "../../tests/browser/home.mjs";

const { chromium } = createRequire(join(import.meta.dirname, "../../tests/browser/run.mjs"))("playwright-core");
const RUNS = 5;
const SLOWER = 4;
const PATHS = ["/", "/devices", "/devices/127.0.0.7", "/devices/127.0.0.7/fix", "/companies", "/companies/Google", "/log", "/lists", "/rules", "/health", "/help", "/report"];
const NAMES = ["www.google-analytics.com", "samba.tv", "static.hotjar.com", "clarity.ms", "t.appsflyer.com", "e.crashlytics.com", "ad.mi.com", "news.example", "cdn.example"];

const upstream = await startUpstream();
const daemon = await startDaemon(upstream.port);
for (let number = 0; number < 600; number += 1) {
  const name = number % 3 === 0 ? `host-${number}.example` : NAMES[number % NAMES.length];
  await ask(daemon.dns, name, `127.0.0.${7 + (number % 20)}`);
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

/** One visit with an empty cache: octets over the wire, requests, milliseconds until usable. */
async function visit(path) {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
  const tab = await context.newPage();
  const devtools = await context.newCDPSession(tab);
  let octets = 0;
  let requests = 0;
  await devtools.send("Network.enable");
  devtools.on("Network.requestWillBeSent", () => (requests += 1));
  devtools.on("Network.loadingFinished", ({ encodedDataLength }) => (octets += encodedDataLength));
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await tab.addInitScript(() => {
    globalThis.longTaskEnd = 0;
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) globalThis.longTaskEnd = Math.max(globalThis.longTaskEnd, task.startTime + task.duration);
    }).observe({ type: "longtask", buffered: true });
  });
  const answer = await tab.goto(daemon.page + path, { waitUntil: "load" });
  if (answer.status() !== 200) throw new Error(`${path}: ${answer.status()}`);
  await tab.waitForTimeout(1000);
  const usable = await tab.evaluate(() => {
    const [navigation] = performance.getEntriesByType("navigation");
    return Math.max(navigation.domContentLoadedEventEnd, globalThis.longTaskEnd);
  });
  const shift = await tab.evaluate(
    () => new Promise((told) => {
      let sum = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => (sum += entry.hadRecentInput ? 0 : entry.value))).observe({ type: "layout-shift", buffered: true });
      setTimeout(() => told(sum), 50);
    }),
  );
  await context.close();
  return { octets, requests, usable, shift };
}

const median = (numbers) => numbers.sort((one, other) => one - other)[numbers.length >> 1];
console.log("page                        first load   requests   usable   layout shift");
for (const path of PATHS) {
  const visits = [];
  for (let run = 0; run < RUNS; run += 1) visits.push(await visit(path));
  const of = (key) => median(visits.map((visit) => visit[key]));
  console.log(
    `${path.padEnd(26)} ${(of("octets") / 1000).toFixed(1).padStart(8)} kB ${String(of("requests")).padStart(10)} ${of("usable").toFixed(0).padStart(5)} ms ${of("shift").toFixed(3).padStart(14)}`,
  );
}
await browser.close();
await daemon.stop();
upstream.stop();
