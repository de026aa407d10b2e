// The journeys of a person: something does not work on a device, a rule is written, a router is set up. Run by run.mjs.
//
// Addresses of 127.0.0.0/8 are devices: 127.0.0.7 is the kitchen TV, 127.0.0.8 Anna's phone.

import assert from "node:assert/strict";
import { ask, isRemembered } from "./home.mjs";

const BLOCKED = "0.0.0.0";
const PASSED = "198.51.100.1";
const TV = "127.0.0.7";
const PHONE = "127.0.0.8";

/** `open` opens a tab, `shoot` leaves a picture of it. */
export function journeys({ daemon, open, shoot }) {
  const answer = (name, from) => ask(daemon.dns, name, from);

  /** Waits until a device is answered so. */
  async function isAnswered(name, from, expected, tries = 60) {
    for (; ; tries -= 1) {
      const answered = await answer(name, from);
      if (answered === expected) return;
      assert.ok(0 < tries, `${name} is ${answered} for ${from} and not ${expected}`);
      await new Promise((passed) => setTimeout(passed, 100));
    }
  }

  /** A wish over the API, as a program has it. */
  async function wish(method, path, body) {
    const answered = await fetch(`${daemon.page}/api/v1/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    assert.ok(answered.ok, await answered.text());
  }

  /** A button that was just pressed does nothing for a moment, against double clicks. */
  const settled = (tab) => tab.waitForTimeout(700);

  return {
    async "a hit is seen live on the page of its device"() {
      const tab = await open();
      await answer("warm-up.example", TV);
      await tab.goto(`${daemon.page}/devices/${TV}`);
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();
      await answer("seen-live.pixel.example", TV);
      await tab.locator(".name", { hasText: "seen-live.pixel.example" }).first().waitFor({ timeout: 10_000 });
      assert.deepEqual(tab.wrong, []);
    },

    async "what broke is found on a device, allowed there for a while, and comes back"() {
      const tab = await open();
      await answer("warm-up.example", TV);
      await tab.goto(`${daemon.page}/devices/${TV}`);
      await tab.getByRole("link", { name: /does not work/ }).first().click();
      await tab.getByRole("heading", { name: "Something does not work on Kitchen TV" }).waitFor();
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();

      // The name appears while the person tries again, the likelier one first.
      assert.equal(await answer("telemetry.vendor.example", TV), BLOCKED);
      assert.equal(await answer("login.vendor.example", TV), BLOCKED);
      assert.equal(await answer("login.vendor.example", PHONE), BLOCKED);
      const rows = tab.locator("[data-part=blocked] tbody tr");
      const login = rows.filter({ hasText: "login.vendor.example" });
      await login.waitFor({ timeout: 10_000 });
      assert.match(await login.innerText(), /likely[\s\S]*“login” in the name speaks of a function/);
      await rows.filter({ hasText: "telemetry.vendor.example" }).waitFor({ timeout: 10_000 });
      const order = await rows.locator("td:first-child .name").allInnerTexts();
      assert.ok(order.indexOf("login.vendor.example") < order.indexOf("telemetry.vendor.example"), order.join(" "));
      await shoot(tab, "fix");

      // Allowed for this device, and for no other.
      await login.getByRole("button", { name: /Allow for 15 minutes/ }).click();
      await tab.getByText(/login\.vendor\.example on Kitchen TV is let through for 15 minutes/).waitFor();
      await isAnswered("login.vendor.example", TV, PASSED);
      assert.equal(await answer("login.vendor.example", PHONE), BLOCKED);
      const allowed = tab.locator("[data-part=allowed] tbody tr", { hasText: "login.vendor.example" });
      assert.match(await allowed.innerText(), /15 minutes left, until \d\d:\d\d/);
      assert.match(await login.innerText(), /allowed now/);
      await shoot(tab, "fix-allowed");

      // Taken back at once; and that undone.
      await settled(tab);
      await allowed.getByRole("button", { name: /Take back now/ }).click();
      await tab.getByText(/was taken back/).waitFor();
      await isAnswered("login.vendor.example", TV, BLOCKED);
      await settled(tab);
      await tab.locator("#note").getByRole("button", { name: "Undo" }).click();
      await tab.getByText(/^Undone/).waitFor();
      await isAnswered("login.vendor.example", TV, PASSED);
      assert.match(await allowed.innerText(), /minutes left/);

      // For a moment only: it is taken back by itself.
      const rule = { rule: "login.vendor.example", device: "Kitchen TV" };
      await wish("POST", "rules", { ...rule, action: "allow", for_secs: 2 });
      await isAnswered("login.vendor.example", TV, PASSED);
      await isAnswered("login.vendor.example", TV, BLOCKED);
      await tab.reload();
      assert.equal(await allowed.count(), 0);
      assert.deepEqual(tab.wrong, []);
    },

    async "what helped is kept, also without JavaScript, and taken back among the rules"() {
      const tab = await open({ javaScriptEnabled: false });
      assert.equal(await answer("player.vendor.example", TV), BLOCKED);
      await tab.goto(`${daemon.page}/fix`);
      await tab.getByRole("link", { name: "Kitchen TV" }).click();
      await tab.getByRole("button", { name: /look again/ }).click();
      const blocked = tab.locator("[data-part=blocked] tbody tr", { hasText: "player.vendor.example" });
      await blocked.getByRole("button", { name: /Allow for 15 minutes/ }).click();
      await tab.getByText(/is let through for 15 minutes/).waitFor();
      const allowed = tab.locator("[data-part=allowed] tbody tr", { hasText: "player.vendor.example" });
      await allowed.getByRole("button", { name: /Keep/ }).click();
      await tab.getByText(/stays let through/).waitFor();
      assert.match(await allowed.innerText(), /for good/);
      assert.equal(await answer("player.vendor.example", TV), PASSED);
      assert.equal(await answer("player.vendor.example", PHONE), BLOCKED);
      await tab.goto(`${daemon.page}/rules`);
      const row = tab.locator("tr", { hasText: "player.vendor.example" });
      assert.match(await row.innerText(), /on Kitchen TV only/);
      await row.getByRole("button", { name: /Take back/ }).click();
      await tab.getByText(/was taken back/).waitFor();
      assert.equal(await answer("player.vendor.example", TV), BLOCKED);
      await tab.locator("#note").getByRole("button", { name: "Undo" }).click();
      await tab.getByText(/^Undone/).waitFor();
      assert.equal(await answer("player.vendor.example", TV), PASSED);
      await wish("DELETE", "rules?rule=player.vendor.example&device=Kitchen%20TV");
      assert.deepEqual(tab.wrong, []);
    },

    async "a device on which nothing was blocked is told what else may be the cause"() {
      const tab = await open();
      await tab.goto(`${daemon.page}/devices/192.0.2.99/fix`);
      await tab.getByText(/Nothing was blocked on it in the last 10 minutes, so pixelsink is probably not the cause/).waitFor();
      await tab.getByRole("link", { name: "60 minutes" }).click();
      await tab.getByText(/in the last 60 minutes/).waitFor();
      assert.deepEqual(tab.wrong, []);
    },

    async "a rule that can't be read is told where it was typed; a good one is looked at, written and changed"() {
      const tab = await open();
      await answer("one.shop.example", TV);
      await answer("two.shop.example", TV);
      await tab.goto(`${daemon.page}/rules`);
      const field = tab.getByLabel("Rule", { exact: true });
      await field.fill("shop example");
      await tab.getByRole("button", { name: "Block", exact: true }).click();
      await tab.getByText(/is not a rule: .* does not belong into a domain name/).waitFor();
      assert.equal(await field.inputValue(), "shop example");
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      await shoot(tab, "rules-wrong");
      await field.fill("*.shop.example");
      await tab.getByRole("button", { name: "What would it match?" }).click();
      await tab.getByText(/matches .* of the .* names that were asked for in the last seven days/).waitFor();
      await tab.getByRole("link", { name: "one.shop.example" }).waitFor();
      await shoot(tab, "rules-preview");
      await tab.locator("select[name=device]").selectOption({ label: "Kitchen TV" });
      await tab.getByRole("button", { name: "Block", exact: true }).click();
      await tab.getByText(/\*\.shop\.example on Kitchen TV is blocked from now on/).waitFor();
      await isAnswered("one.shop.example", TV, BLOCKED);
      assert.equal(await answer("one.shop.example", PHONE), PASSED);
      await tab.getByRole("link", { name: "Change *.shop.example" }).click();
      await field.fill("=one.shop.example");
      await tab.locator("select[name=device]").selectOption({ label: "all devices" });
      await tab.getByRole("button", { name: "Block", exact: true }).click();
      await tab.getByText(/=one\.shop\.example is blocked from now on/).waitFor();
      await isAnswered("one.shop.example", PHONE, BLOCKED);
      assert.equal(await answer("two.shop.example", TV), PASSED);
      await tab.locator("#note").getByRole("button", { name: "Undo" }).click();
      await tab.getByText(/^Undone/).waitFor();
      await isAnswered("one.shop.example", PHONE, PASSED);
      await isAnswered("two.shop.example", TV, BLOCKED);
      await wish("DELETE", "rules?rule=*.shop.example&device=Kitchen%20TV");
      assert.deepEqual(tab.wrong, []);
    },

    async "help tells this machine's address and health what each part does"() {
      const tab = await open();
      await tab.goto(`${daemon.page}/help`);
      assert.match(await tab.locator("#fritzbox + ol").innerText(), /Local DNS server: 127\.0\.0\.1/);
      assert.match(await tab.locator("#router ~ p").first().innerText(), /asks for everybody/);
      // A page that only this machine sees has no address for a phone.
      await tab.getByText(/served to this machine only/).waitFor();
      const phone = await open();
      const here = `http://pixelsink.lan:${new URL(daemon.page).port}/`;
      await phone.goto(`${here}help`);
      const { width, height } = await phone.getByRole("img", { name: `QR code of ${here}` }).boundingBox();
      assert.ok(100 < width && width === height, `${width} x ${height}`);
      await shoot(phone, "help-phone");
      assert.deepEqual(phone.wrong.filter((wrong) => !wrong.startsWith(`asked ${here}`)), []);
      await tab.goto(`${daemon.page}/health`);
      assert.match(await tab.locator("main").innerText(), /udp:\/\/127\.0\.0\.1[\s\S]*well[\s\S]*Memory/);
      assert.deepEqual(tab.wrong, []);
    },

    async "a device is renamed, its past with it, and forgotten for good"() {
      // All addresses of the loop that were not given to a device are this machine.
      const HERE = "127.0.0.1";
      const hostile = `Otto's <b>"tablet"</b>`;
      assert.equal(await answer("pixel.example", HERE), BLOCKED);
      await isRemembered(daemon.page, "pixel.example");
      const tab = await open();
      await tab.goto(`${daemon.page}/devices/${HERE}`);
      await tab.getByLabel("Name", { exact: true }).fill(hostile);
      await tab.getByRole("button", { name: "Rename" }).click();
      await tab.getByRole("heading", { level: 1, name: hostile }).waitFor();
      await tab.goto(`${daemon.page}/log?device=${HERE}`);
      await tab.locator("[data-rows]").getByText(hostile).first().waitFor();
      await tab.goto(`${daemon.page}/devices/${HERE}`);
      await tab.getByText("Forget this device…").click();
      await tab.getByRole("button", { name: /and all that is remembered of it/ }).click();
      await tab.locator("#note").getByText(/forgotten/).waitFor();
      const known = await (await fetch(`${daemon.page}/api/v1/devices?hours=24`)).json();
      assert.ok(known.every(({ device }) => device.key !== HERE), JSON.stringify(known));
      assert.deepEqual(tab.wrong, []);
    },
  };
}
