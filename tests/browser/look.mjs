// Opens a page in Debian's Chromium, waits, writes a screenshot, prints what a person would see as JSON.
// Usage: node look.mjs URL PNG [light|dark] [milliseconds to wait] [width] [height]
import { chromium } from "playwright-core";

const [url, png, scheme = "light", wait = "3000", width = "1280", height = "900"] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const page = await browser.newPage({ viewport: { width: +width, height: +height }, colorScheme: scheme });
const problems = [];
const requests = [];
page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
page.on("pageerror", (error) => problems.push(String(error)));
let bytes = 0;
page.on("response", async (response) => {
  requests.push(response.url());
  try {
    if (!response.url().endsWith(".json")) bytes += (await response.body()).length;
  } catch {
    // a response without a body (redirect) weighs nothing
  }
});
await page.goto(url, { waitUntil: "load" });
await page.waitForTimeout(+wait);
const first = await page.evaluate(() => document.body.innerText);
await page.waitForTimeout(2500);
const later = await page.evaluate(() => document.body.innerText);
if (png) await page.screenshot({ path: png, fullPage: true });
const canvases = await page.evaluate(() => document.querySelectorAll("canvas, svg").length);
await browser.close();
console.log(JSON.stringify({ first, later, problems, requests, bytes, canvases }));
