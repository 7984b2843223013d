// Started by page_check.sh, with pages as arguments. Prints what is wrong with them, a line each; exit code 1 if anything is.
"use strict";
const fs = require("fs");
const path = require("path");
const puppeteer = require("puppeteer-core");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SCHEMES = ["light", "dark"];
const WIDTHS = [1280, 390];

const addressOf = (page) => (/^https?:/.test(page) ? page : "file://" + path.resolve(page));

// Of results/run/report.html: run.
const nameOf = (page) => (/^https?:/.test(page) ? "live" : path.basename(path.dirname(path.resolve(page))));

// In the page: elements that are wider than the screen, and texts of figures that overlap or are cut.
function layoutFindings() {
  const found = [];
  const screen = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > screen) {
    found.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
  }
  for (const svg of document.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const name = svg.getAttribute("aria-label");
    if (frame.right > screen + 0.5) found.push(`"${name}" reaches beyond the screen`);
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent.trim(), text.getBoundingClientRect()]);
    texts.forEach(([text, box], i) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push(`"${text}" of "${name}" is cut`);
      for (const [other, beside] of texts.slice(i + 1)) {
        const over = Math.min(box.right, beside.right) - Math.max(box.left, beside.left);
        const lines = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top);
        if (over > 0.5 && lines > 3) found.push(`"${text}" and "${other}" of "${name}" overlap`);
      }
    });
  }
  return found;
}

async function check(tab, page, scheme, width) {
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.setViewport({ width, height: 900 });
  await tab.goto(addressOf(page), { waitUntil: "load" });
  const name = nameOf(page);
  if (process.env.SHOTS) {
    fs.mkdirSync(process.env.SHOTS, { recursive: true });
    await tab.screenshot({ path: path.join(process.env.SHOTS, `${name}-${scheme}-${width}.png`), fullPage: true });
  }
  await tab.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
  const found = await tab.evaluate(layoutFindings);
  for (const axes of ["linear", "logarithmic"]) {
    await tab.evaluate((axes) => document.querySelectorAll(`input[value="${axes}"]`).forEach((input) => input.click()), axes);
    if (axes === "logarithmic") found.push(...(await tab.evaluate(layoutFindings)));
    await tab.evaluate(AXE);
    const { violations } = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, help, nodes } of violations) found.push(`${id}: ${help}: ${nodes[0].html.slice(0, 160)} (${nodes.length})`);
  }
  const lines = [...new Set(found)].map((line) => `${name}, ${scheme}, ${width} pixels: ${line}`);
  lines.forEach((line) => console.log(line));
  return lines.length;
}

async function main(pages) {
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  let found = 0;
  try {
    const tab = await browser.newPage();
    await tab.setBypassCSP(true);
    for (const page of pages) {
      for (const scheme of SCHEMES) {
        for (const width of WIDTHS) found += await check(tab, page, scheme, width);
      }
      console.log(`${page}: checked`);
    }
  } finally {
    await browser.close();
  }
  process.exitCode = found > 0 ? 1 : 0;
}

main(process.argv.slice(2));
