// The journeys of the door: set the first password with the code, log in, log out, a wrong password. Run by run.mjs.
//
// A daemon of its own, because a password once set stays. A header that proxies add has it take the browser for one on the
// network, although it runs on the same machine.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { BINARY, logIn, PASSWORD, startDaemon } from "./home.mjs";

const ELSEWHERE = { extraHTTPHeaders: { "x-forwarded-for": "192.168.1.5" } };

/** `open` opens a tab for a page, `shoot` leaves a picture of it, `look` finds what is wrong with how a page looks. */
export function doors({ upstream, open, shoot, look }) {
  let daemon;
  let page;

  const command = (...words) =>
    execFileSync(BINARY, [...words, "--config", `${daemon.directory}/pixelsink.toml`], { input: `${PASSWORD}\n` }).toString();

  async function start() {
    daemon = await startDaemon(upstream.port);
    page = daemon.page;
  }

  /** A daemon with the password, whichever tests ran before. */
  async function ready() {
    if (daemon) return;
    await start();
    command("passwd");
  }

  const isAt = (tab, path) => assert.equal(new URL(tab.url()).pathname + new URL(tab.url()).search, path);

  /** What a browser says of each refused page is no fault of the page. */
  const faults = (tab) => tab.wrong.filter((wrong) => !/status of 4\d\d/.test(wrong));

  const tests = {
    async "the first password is set with the code, and leads to where one was going"() {
      await start();
      const code = command("passwd", "--code").trim();
      for (const width of [1280, 360]) {
        for (const colorScheme of ["light", "dark"]) {
          const tab = await open({ page, ...ELSEWHERE, viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
          await tab.goto(`${page}/setup`);
          await look(tab, `setup-${width}-${colorScheme}`);
          await tab.context().close();
        }
      }
      const tab = await open({ page, ...ELSEWHERE });
      await tab.goto(`${page}/log?verdict=blocked`);
      await tab.getByRole("heading", { name: "Set a password" }).waitFor();
      await tab.getByLabel("Code").fill("AAAA-AAAA");
      await tab.getByLabel(/^New password/).fill(PASSWORD);
      await tab.getByLabel(/once more/).fill(PASSWORD);
      await tab.getByRole("button", { name: "Set the password" }).click();
      await tab.getByRole("alert").getByText("That is not the code.").waitFor();
      assert.equal(await tab.getByLabel("Code").inputValue(), "AAAA-AAAA");
      await tab.getByLabel("Code").fill(code.toLowerCase());
      await tab.getByLabel(/^New password/).fill(PASSWORD);
      await tab.getByLabel(/once more/).fill(PASSWORD);
      await tab.getByRole("button", { name: "Set the password" }).click();
      await tab.waitForURL(/\/log/);
      isAt(tab, "/log?verdict=blocked");
      // Also the live parts are let in.
      await tab.locator("[data-live-state]", { hasText: /^live/ }).waitFor();
      assert.deepEqual(faults(tab), []);
    },

    async "one logs in, with and without JavaScript, and a wrong password is told"() {
      await ready();
      for (const javaScriptEnabled of [true, false]) {
        const tab = await open({ page, javaScriptEnabled });
        await tab.goto(`${page}/rules`);
        isAt(tab, "/login?back=%2Frules");
        await logIn(tab, "not the password");
        await tab.getByRole("alert").getByText("That is not the password.").waitFor();
        await shoot(tab, `login-wrong-${javaScriptEnabled}`);
        assert.deepEqual(await tab.context().cookies(), []);
        await logIn(tab, PASSWORD);
        await tab.waitForURL(`${page}/rules`);
        const [cookie, ...more] = await tab.context().cookies();
        assert.deepEqual([cookie.httpOnly, cookie.sameSite, more.length], [true, "Strict", 0]);
        assert.equal(await tab.evaluate(() => document.cookie).catch(() => ""), "");
        assert.deepEqual(faults(tab), []);
      }
    },

    async "logging out everywhere reaches a page that is open, and its stream"() {
      await ready();
      const [here, there] = [await open({ page }), await open({ page })];
      for (const tab of [here, there]) {
        await tab.goto(`${page}/login`);
        await logIn(tab, PASSWORD);
        await tab.waitForURL(`${page}/`);
      }
      await there.goto(`${page}/log`);
      await there.locator("[data-live-state]", { hasText: /^live/ }).waitFor();
      await here.getByRole("link", { name: "Access" }).click();
      await shoot(here, "access");
      await here.getByRole("button", { name: "Log out everywhere" }).click();
      await here.waitForURL(`${page}/login`);
      await there.getByText("not live").waitFor();
      await there.goto(`${page}/log`);
      isAt(there, "/login?back=%2Flog");
      assert.deepEqual(faults(here), []);
    },

    async "a token is made, shown once, and revoked"() {
      await ready();
      const tab = await open({ page });
      await tab.goto(`${page}/access`);
      await logIn(tab, PASSWORD);
      await tab.waitForURL(`${page}/access`);
      await tab.getByLabel("Name", { exact: true }).fill("a <b>dashboard</b>");
      await tab.getByRole("button", { name: "Make a token" }).click();
      const token = await tab.locator("pre").innerText();
      const status = async () =>
        (await fetch(`${page}/api/v1/status`, { headers: { authorization: `Bearer ${token.trim()}` } })).status;
      assert.equal(await status(), 200);
      await look(tab, "token");
      await tab.goto(`${page}/access`);
      assert.ok(!(await tab.content()).includes(token.trim()));
      await tab.getByRole("button", { name: "Revoke a <b>dashboard</b>" }).click();
      await tab.getByText(/is good for nothing/).waitFor();
      assert.equal(await status(), 401);
      assert.deepEqual(faults(tab), []);
    },

    async "the door is fit to be seen, wide and narrow, light and dark"() {
      await ready();
      for (const width of [1280, 360]) {
        for (const colorScheme of ["light", "dark"]) {
          const tab = await open({ page, viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
          await tab.goto(`${page}/login`);
          await look(tab, `login-${width}-${colorScheme}`);
          await logIn(tab, PASSWORD);
          await tab.waitForURL(`${page}/`);
          await tab.goto(`${page}/access`);
          await look(tab, `access-${width}-${colorScheme}`);
          await tab.context().close();
        }
      }
    },

    async "no text becomes HTML but by the one policy of the script"() {
      await ready();
      const tab = await open({ page });
      await tab.goto(`${page}/login`);
      await logIn(tab, PASSWORD);
      await tab.waitForURL(`${page}/`);
      const tried = await tab.evaluate(() => {
        const refused = (act) => {
          try {
            return act();
          } catch (error) {
            return error.name;
          }
        };
        return [
          refused(() => (document.createElement("p").innerHTML = "<b>text</b>")),
          refused(() => new DOMParser().parseFromString("<b>text</b>", "text/html").body.innerHTML),
          refused(() => String(trustedTypes.createPolicy("another", { createHTML: (html) => html }).createHTML("text"))),
        ];
      });
      assert.deepEqual(tried, ["TypeError", "TypeError", "TypeError"]);
    },
  };

  return { tests, stop: () => daemon?.stop() };
}
