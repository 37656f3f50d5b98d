// The live page: fetch the snapshot every two seconds and show it.
"use strict";

const PERIOD = 2000;
const root = $("monitor");
let last = null;

function status(state, words) {
  $("status").dataset.state = state;
  text("status", words);
}

function header(s) {
  const firing = s.alerts.some((alert) => alert.state === "firing");
  if (firing) status("bad", "Data drift");
  else if (!s.totals.predictions) status("wait", "Waiting for predictions");
  else status("good", "All clear");
  text("uptime", `up ${duration(s.uptime)}`);
  show("trouble", Boolean(s.trouble));
  text("trouble", s.trouble);
}

function banner(s) {
  const alert = s.alerts.find((alert) => alert.state === "firing");
  show("alert", Boolean(alert));
  if (!alert || $("alert").dataset.id === String(alert.id)) return;
  $("alert").dataset.id = alert.id;
  $("alert").replaceChildren(
    make("h2", {}, `Data drift since ${moment(alert.started)}`),
    make("p", {}, alert.summary + "."),
    make("ul", {}, ...(alert.details.advice || []).map((line) => make("li", {}, line))),
  );
}

function figures(s) {
  const lost = s.totals.dropped + s.totals.failed;
  text("f-total", count(s.totals.predictions));
  text("f-total-note", `${small(s.recent.rate)} a second now${lost ? `, ${count(lost)} not recorded` : ""}`);
  text("f-latency", milliseconds(s.recent.p50));
  text("f-latency-note", s.recent.p95 == null ? "nothing in the last minute" : `95% under ${milliseconds(s.recent.p95)}`);
  const verdict = s.drift.latest;
  $("f-drift").classList.toggle("bad", Boolean(verdict && verdict.drifted));
  if (!verdict) {
    text("f-drift", "–");
    text("f-drift-note", `${count(Math.min(s.drift.waiting, s.settings.window))} of ${s.settings.window} predictions for a test`);
  } else {
    text("f-drift", verdict.drifted ? "Found" : "None");
    text("f-drift-note", verdict.reason || `${pIs(verdict.p_value)} in window ${verdict.number + 1}`);
  }
  const score = s.performance.overall, share = s.performance.metric === "accuracy" ? precise : small;
  text("f-score", score ? share(score.value) : "–");
  text("f-score-note", score ? `${share(score.low)} to ${share(score.high)}, ${percent(score.coverage)} labelled` : "no labels yet");
}

// A value alone makes no line: it is drawn as a point.
const alone = (plot, index) => plot.data[index].filter((value) => value != null).length === 1;
function line(stroke, more = {}) { return { stroke: color(stroke), width: 1.75, points: { show: alone, size: 5 }, ...more }; }

function legend(id, items) {
  const host = $(id);
  if (host.previousElementSibling.classList.contains("legend")) return;
  host.before(make("ul", { class: "legend" }, ...items.map(([kind, name]) => make("li", {}, make("i", { class: `line k-${kind}` }), name))));
}

function traffic(s) {
  const t = s.traffic, any = t.rate.some((rate) => rate > 0);
  show("c-traffic", any); show("e-traffic", !any);
  show("c-latency", any); show("e-latency", !any);
  if (!any) return;
  chart("c-traffic", {
    series: [{}, line("now", { fill: color("now-soft") + "55" })],
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
  }, [t.time, t.rate]);
  const ms = (values) => values.map((v) => v == null ? null : 1000 * v);
  chart("c-latency", {
    series: [{}, line("p50", { spanGaps: true }), line("p95", { spanGaps: true }), line("p99", { spanGaps: true })],
    scales: { y: { range: (_, low, high) => [0, high * 1.1 || 1] } },
  }, [t.time, ms(t.p50), ms(t.p95), ms(t.p99)]);
  legend("c-latency", [["now", "median"], ["p95", "95%"], ["p99", "99%"]]);
}

function mix(s) {
  const any = s.mix.some((one) => one.n > 0);
  show("mix", any); show("e-mix", !any);
  if (!any) return;
  text("mix-note", `the last ${count(s.mix[0].n)} and in validation`);
  const parts = [];
  for (const one of s.mix) {
    if (s.mix.length > 1) parts.push(make("p", { class: "quiet" }, one.name));
    const top = Math.max(...one.current, ...one.reference, 1e-9);
    const bars = make("div", { class: "bars" });
    one.names.forEach((name, i) => bars.append(
      make("span", { class: "name", title: name }, name),
      shareBar(one.current[i], one.reference[i], top),
      make("span", { class: "share" }, make("b", {}, percent(one.current[i])), ` / ${percent(one.reference[i])}`),
    ));
    parts.push(bars);
  }
  $("mix").replaceChildren(make("ul", { class: "legend" }, make("li", {}, make("i", { class: "k-now" }), "now"), make("li", {}, make("i", { class: "tick k-ink" }), "validation")), ...parts);
}

function scores(s) {
  const p = s.performance, any = p.points.length > 0, share = p.metric === "accuracy";
  show("c-score", any); show("e-score", !any);
  if (!any) return;
  const scale = share ? 100 : 1, test = p.test ? p.test.value * scale : null;
  const pick = (key) => p.points.map((point) => scale * point[key]);
  chart("c-score", {
    series: [{}, { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } },
      line("now", { points: { show: true, size: 6, fill: color("now") } }), line("then", { dash: [5, 4], width: 1.5 })],
    bands: [{ series: [1, 2], fill: color("now-soft") + "66" }],
    scales: { x: { range: (plot) => timeRange(plot.data[0], last.performance.width) }, y: { range: (_, low, high) => share ? [Math.max(0, low - 4), Math.min(101, high + 4)] : [0, high * 1.1] } },
    y: share ? { values: (_, ticks) => ticks.map((v) => v > 100 ? "" : `${v}%`) } : {},
  }, [p.points.map((point) => point.time + p.width / 2), pick("high"), pick("low"), pick("value"), p.points.map(() => test)]);
  legend("c-score", [["now", "in service, 95% interval"], ["then", "on the test split"]]);
  text("score-note", `${count(p.overall.n)} labels, ${percent(p.overall.coverage)} of predictions, ${duration(p.overall.delay)} late on average`);
}

function drift(s) {
  const history = s.drift.history, verdict = s.drift.latest, any = history.length > 0;
  show("c-drift", any); show("e-drift", !any); show("features", any);
  if (!any) {
    $("filling").value = s.drift.waiting;
    text("filling-text", `${count(s.drift.waiting)} of ${s.settings.window}`);
    return;
  }
  const evidence = (p) => Math.max(.05, Math.min(6, -Math.log10(Math.max(p, 1e-300))));  // a sliver for p = 1
  const bar = uPlot.paths.bars({ size: [.6, 26], radius: .15 });
  const series = (name) => ({ stroke: color(name), fill: color(name), width: 0, paths: bar, points: { show: false } });
  const level = evidence(s.settings.alpha);
  chart("c-drift", {
    series: [{}, series("then"), series("bad"), line("ink", { dash: [5, 4], width: 1 })],
    scales: { x: { time: false, range: ({ data: [numbers] }) => { const newest = numbers[numbers.length - 1]; return [Math.min(numbers[0], newest - 11) - .6, newest + .6]; } }, y: { range: () => [0, 6.2] } },
    x: { space: 46, incrs: [1, 2, 5, 10, 20, 50, 100], values: (_, ticks) => ticks.map((t) => Number.isInteger(t) && t > 0 ? `${t}` : "") },
    y: { size: 64, splits: () => [0, 2, 4, 6], values: () => ["p = 1", "0.01", "0.0001", "≤ 10⁻⁶"] },
  }, [
    history.map((w) => w.number + 1),
    history.map((w) => w.drifted ? null : evidence(w.p_value)),
    history.map((w) => w.drifted ? evidence(w.p_value) : null),
    history.map(() => level),
  ]);
  legend("c-drift", [["then", "clean window"], ["bad", "drifted window"], ["ink", `error rate ${s.settings.alpha}`]]);
  if ($("features").dataset.number !== String(verdict.number)) features(verdict);
  const expected = s.settings.alpha * s.windows_per_day;
  text("chance", `at most ${small(100 * s.settings.alpha)} of 100, at the present traffic ${small(expected)} a day`);
}

function features(verdict) {
  $("features").dataset.number = verdict.number;
  const rows = verdict.features.slice(0, 8).map((f) => {
    const missing = f.missing_current > 0 || f.missing_reference > 0 ? `${percent(f.missing_reference)} → ${percent(f.missing_current)}` : "–";
    const picture = make("td", {});
    if (f.histograms) picture.append(histogram(f.histograms));
    return make("tr", {},
      make("td", { class: "name", title: f.name }, f.name), picture,
      make("td", { class: "number" }, small(f.effect), effectBar(f.effect, f.drifted)),
      make("td", { class: "number" }, chance(f.corrected_p)),
      make("td", { class: "number" }, missing),
      make("td", {}, make("span", { class: f.drifted ? "tag bad" : "tag" }, f.drifted ? "changed" : "same")));
  });
  const head = make("tr", {}, ...[["Feature"], ["Validation, and now"], ["Effect", "number"], ["p, corrected", "number"], ["Missing", "number"], [""]].map(([name, kind]) => make("th", kind ? { class: kind, scope: "col" } : { scope: "col" }, name)));
  const words = { Univariate: " (each by itself)", MMD: " (all together)" };
  const tests = verdict.findings.map((f) => `${f.detector}${words[f.detector] || ""}: ${f.skipped ? `not tested, ${f.skipped}` : pIs(f.p_value)}`).join("; ");
  $("features").replaceChildren(
    make("p", { class: "quiet" }, `Window ${verdict.number + 1}, ${moment(verdict.ended)}: ${verdict.drifted_features} of ${verdict.total_features} features changed. ${tests}.`),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
  );
}

function alerts(s) {
  show("e-alerts", s.alerts.length === 0);
  $("alerts").replaceChildren(...s.alerts.map((alert) => {
    const firing = alert.state === "firing";
    const span = firing ? `since ${moment(alert.started)}` : `${moment(alert.started)}, for ${duration(alert.ended - alert.started)}`;
    return make("li", {},
      make("span", {}, make("span", { class: firing ? "tag bad" : "tag good" }, alert.state)),
      make("span", { class: "when" }, span),
      make("span", {}, `${alert.summary} (version ${alert.version})`));
  }));
}

function render(s) {
  last = s;
  for (const part of [header, banner, figures, traffic, mix, scores, drift, alerts]) part(s);
}

window.redraw = () => last && render(last);

async function poll() {
  if (!document.hidden || !last) {
    try {
      const answer = await fetch(root.dataset.snapshot, { cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      render(await answer.json());
    } catch (error) {
      if (error instanceof TypeError && last === null) console.error(error);
      status("wait", "Connection lost, trying again");
    }
  }
  setTimeout(poll, PERIOD);
}

for (const code of document.querySelectorAll("code.command")) {
  code.textContent = code.textContent.replace(/ (\/v1\/\S+)$/, ` ${location.origin}${root.dataset.base}$1`);
}
poll();
