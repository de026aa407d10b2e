// What a stranger tries by the browser of a person at home: to read the page by a name of theirs, to have a form of theirs
// change something, to guess the password, to write with a token that may only look. Run by run.mjs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import http from "node:http";
import { ask, BINARY, logIn, PASSWORD, startDaemon } from "./home.mjs";

/** A name of the stranger's, which the browser takes for this machine. */
export const STRANGER = "stranger.example";

/** A site of the stranger's with a form that is sent as soon as it is seen. */
async function startSite(action, fields) {
  const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`);
  const page = `<!doctype html><title>win</title><form method="post" action="${action}">${inputs.join("")}<button>Win</button></form>`;
  const server = http.createServer((_, answer) => answer.setHeader("content-type", "text/html").end(page));
  await new Promise((bound) => server.listen(0, "127.0.0.1", bound));
  const stop = () => (server.closeAllConnections(), server.close());
  return { page: `http://${STRANGER}:${server.address().port}`, stop };
}

/** `daemon` lets in whoever sits at this machine: what holds there is not the password's doing. */
export function attacks({ daemon, upstream, open, shoot }) {
  let guarded;

  /** A daemon with a password. */
  async function guard() {
    if (!guarded) {
      guarded = await startDaemon(upstream.port);
      execFileSync(BINARY, ["passwd", "--config", `${guarded.directory}/pixelsink.toml`], { input: `${PASSWORD}\n` });
    }
    return guarded.page;
  }

  const tests = {
    async "a stranger's name that leads here shows nothing"() {
      const page = daemon.page.replace("127.0.0.1", STRANGER);
      const tab = await open({ page });
      const answer = await tab.goto(`${page}/`);
      assert.equal(answer.status(), 421);
      await tab.getByText("does not answer to the name in the address bar").waitFor();
      await shoot(tab, "stranger-name");
      for (const path of ["/api/v1/status", "/log", "/metrics"]) {
        const read = await tab.evaluate(async (path) => {
          const answer = await fetch(path);
          return [answer.status, await answer.text()];
        }, path);
        assert.equal(read[0], 421, path);
        assert.ok(!read[1].includes("Kitchen TV"), path);
      }
    },

    async "a stranger's form changes nothing"() {
      const site = await startSite(`${daemon.page}/rules/block`, { rule: "victim.example" });
      const tab = await open({ page: site.page });
      await tab.goto(site.page);
      const answered = tab.waitForResponse((answer) => answer.url().endsWith("/rules/block"));
      await tab.getByRole("button", { name: "Win" }).click();
      assert.equal((await answered).status(), 403);
      // Nor do scripts there.
      await tab.goto(site.page);
      const sent = await tab.evaluate(async (page) => {
        const wishes = [
          fetch(`${page}/rules/block`, { method: "POST", mode: "no-cors", body: new URLSearchParams({ rule: "victim.example" }) }),
          fetch(`${page}/api/v1/rules`, { method: "POST", body: '{"action":"block","rule":"victim.example"}' }),
          fetch(`${page}/api/v1/status`),
        ];
        return (await Promise.allSettled(wishes)).map(({ status }) => status);
      }, daemon.page);
      // Some are sent, and what comes back can't be read.
      assert.deepEqual(sent, ["rejected", "rejected", "rejected"]);
      assert.equal(await ask(daemon.dns, "victim.example"), "198.51.100.1");
      const rules = await (await fetch(`${daemon.page}/api/v1/rules`)).text();
      assert.ok(!rules.includes("victim.example"), rules);
      site.stop();
    },

    async "a token that may look can't change anything"() {
      const page = await guard();
      const tab = await open({ page });
      await tab.goto(`${page}/access`);
      await logIn(tab, PASSWORD);
      await tab.waitForURL(`${page}/access`);
      await tab.getByLabel("Name", { exact: true }).fill("display");
      await tab.getByLabel("It may").selectOption({ label: "look" });
      await tab.getByRole("button", { name: "Make a token" }).click();
      const token = (await tab.locator("pre").innerText()).trim();
      const tried = await tab.evaluate(async (token) => {
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        const body = '{"action":"block","rule":"victim.example"}';
        const wishes = [
          ["GET", "/api/v1/rules"],
          ["POST", "/api/v1/rules", body],
          ["DELETE", "/api/v1/lists?name=trackers"],
          ["POST", "/api/v1/access/tokens", '{"name":"more","scope":"write"}'],
          ["POST", "/rules/block", body],
        ];
        // Without the cookie of who is logged in here.
        const send = ([method, path, body]) => fetch(path, { method, headers, body, credentials: "omit" });
        return (await Promise.all(wishes.map(send))).map(({ status }) => status);
      }, token);
      assert.deepEqual(tried, [200, 403, 403, 403, 403]);
      assert.equal(await ask(guarded.dns, "victim.example"), "198.51.100.1");
    },

    async "who guesses the password is slowed down, and told so"() {
      const page = await guard();
      const tab = await open({ page });
      await tab.goto(`${page}/login`);
      const slowed = tab.getByRole("alert").getByText(/Try again in/);
      const begun = Date.now();
      let guesses = 0;
      for (; !(await slowed.isVisible()); guesses += 1) {
        assert.ok(guesses < 20, "twenty guesses, and not slowed down");
        const answered = tab.waitForResponse((answer) => answer.request().method() === "POST");
        await logIn(tab, `guess ${guesses}`);
        await answered;
        await tab.getByRole("alert").waitFor();
      }
      await shoot(tab, "login-slowed");
      // The right one is not looked at before its time either, so that nothing is learned from trying faster.
      await logIn(tab, PASSWORD);
      await slowed.waitFor();
      assert.ok(2 < guesses, "a slip of the finger is no attack");
      assert.ok(Date.now() - begun < 60_000);
    },
  };

  return { tests, stop: () => guarded?.stop() };
}
