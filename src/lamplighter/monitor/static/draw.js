// Drawing: small helpers for DOM, numbers, SVG bars and uPlot charts. Text from the server only ever becomes text nodes.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "path", "line", "title"].includes(tag);
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function show(id, visible) { $(id).hidden = !visible; }
function text(id, value) { if ($(id).textContent !== value) $(id).textContent = value; }

// numbers
const count = (n) => n.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;
const precise = (share) => `${(100 * share).toFixed(1)}%`;
const small = (x) => x >= 1000 ? count(Math.round(x)) : String(Number(x.toPrecision(3)));
const power = (digits) => `10⁻${[...digits].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
const chance = (p) => p >= 0.995 ? "1" : p >= 0.001 ? p.toFixed(3) : p >= 1e-15 ? p.toExponential(0).replace(/e-(\d+)/, (_, digits) => ` × ${power(digits)}`) : `< ${power("15")}`;
const pIs = (p) => p < 1e-15 ? `p ${chance(p)}` : `p = ${chance(p)}`;
function milliseconds(seconds) { return seconds == null ? "–" : `${small(1000 * seconds)} ms`; }
function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size) || units[3];
  return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
}
function moment(seconds) {
  return new Date(1000 * seconds).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

// One row of a bar list: the bar is now, the tick is the reference.
function shareBar(now, then, top) {
  const bar = make("svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", role: "img", "aria-hidden": "true" });
  bar.append(make("rect", { class: "f-grid", x: 0, y: 2, width: 100, height: 12 }));
  bar.append(make("rect", { class: "f-now", x: 0, y: 2, width: 100 * now / top, height: 12 }));
  const x = Math.min(100 * then / top, 99.4);
  bar.append(make("rect", { class: "f-ink", x, y: 0, width: .7, height: 16 }));
  return bar;
}

// Reference as a filled shape, now as an outline on top of it.
function histogram(shares) {
  const { names, reference, current } = shares;
  const top = Math.max(...reference, ...current, 1e-9), n = names.length, width = 220 / n;
  const picture = make("svg", { class: "histogram", viewBox: "0 0 220 34", role: "img" });
  picture.append(make("title", {}, names.map((name, i) => `${name}: ${precise(reference[i])} then, ${precise(current[i])} now`).join("\n")));
  let outline = "M0 33";
  for (let i = 0; i < n; i++) {
    const x = i * width, then = 32 * reference[i] / top, now = 32 * current[i] / top;
    picture.append(make("rect", { class: "f-then-soft", x, y: 33 - then, width: width * .98, height: then }));
    outline += `L${x.toFixed(1)} ${(33 - now).toFixed(1)}L${(x + width).toFixed(1)} ${(33 - now).toFixed(1)}`;
  }
  picture.append(make("path", { class: "s-now", d: `${outline}L220 33` }));
  return picture;
}

function effectBar(effect, drifted) {
  const bar = make("svg", { class: "effect", viewBox: "0 0 110 12", "aria-hidden": "true" });
  bar.append(make("rect", { class: "f-grid", x: 0, y: 3, width: 110, height: 6, rx: 3 }));
  bar.append(make("rect", { class: drifted ? "f-bad" : "f-then", x: 0, y: 3, width: Math.max(2, 110 * Math.min(1, effect)), height: 6, rx: 3 }));
  return bar;
}

// Labels of a time axis: the day where days apart, else the time of day, to the second only when needed.
function clock(_plot, ticks, _axis, _space, step) {
  const format = step >= 86400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 ? { second: "2-digit" } : {}) };
  return ticks.map((tick) => new Date(1000 * tick).toLocaleString([], format));
}

// Pixels between labels of a time axis: those with seconds (steps of 30 s and less) are wider than the others.
function labelSpace(_plot, _axis, from, to, width) {
  const halfMinute = 30 * width / (to - from);
  return halfMinute >= 76 ? 76 : Math.max(50, halfMinute + 1);
}

// From the first time to the last; a single point would otherwise stand on an axis over a thousand years.
function timeRange(times, width) {
  const first = times[0], last = times[times.length - 1];
  return first === last ? [first - 3 * width, last + 3 * width] : [first, last];
}

// uPlot: one chart for each element, rebuilt when the colours or the shape of the data change.
const charts = new Map();

function chart(id, options, data) {
  const host = $(id);
  let known = charts.get(id);
  if (!known) {
    const axis = (more) => ({ stroke: color("quiet"), grid: { stroke: color("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more });
    const plot = new uPlot({
      width: host.clientWidth, height: host.clientHeight, cursor: { points: { show: false }, drag: { x: false, y: false } },
      ...options, legend: { show: false },
      axes: [axis({ size: 28, space: labelSpace, values: clock, ...(options.x || {}) }), axis({ size: 46, space: 34, ...(options.y || {}) })],
      padding: [8, 32, 0, 0],
    }, data, host);
    new ResizeObserver(() => { const now = charts.get(id); if (now && host.clientWidth) now.setSize({ width: host.clientWidth, height: host.clientHeight }); }).observe(host);
    charts.set(id, plot);
  } else {
    known.setData(data);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of charts.values()) plot.destroy();
  charts.clear();
  if (window.redraw) window.redraw();
});
