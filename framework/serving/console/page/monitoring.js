"use strict";
// What run=monitor found: live error beside the backtest's, coverage, drift, alerts, worst series. Also the page that a run writes.

const SIGNALS = {
  level_up: "actuals above the median",
  level_down: "actuals below the median",
  outside_up: "actuals outside the 80 % interval",
  error_up: "size of the errors",
  repeat_up: "actuals that repeat",
};
const STATES = { firing: "bad", pending: "", resolved: "good" };
const asPercent = (share) => (share === null || share === undefined ? "–" : percent(100 * share));

/** Draw `found`, the file that run=monitor keeps, into `host`; what is chosen stays chosen. */
function showMonitoring(host, found) {
  if (!found) {
    host.replaceChildren(make("p", { class: "empty" }, "Nothing has been monitored yet: run=monitor, once or by a schedule, judges what was served."));
    return;
  }
  const pairs = found.pairs.map((pair, i) => [`${pair.arm} · version ${pair.version}`, i]);
  const serving = found.pairs.findIndex((pair) => (found.serving[pair.arm] || {}).version === pair.version);
  const state = (host.chosen = host.chosen || { pair: String(Math.max(0, serving)), target: null });
  if (!found.pairs[state.pair]) state.pair = String(Math.max(0, serving));
  const pair = found.pairs[state.pair], targets = Object.keys(pair.live);
  if (!targets.includes(state.target)) state.target = targets[0];
  const again = () => showMonitoring(host, found);
  const choice = (label, key, options) =>
    make("div", { class: "field" }, make("label", { for: `monitoring-${key}` }, label),
      make("select", { id: `monitoring-${key}`, change: (event) => { state[key] = event.target.value; again(); } },
        options.map(([text, value]) => make("option", { value, selected: String(value) === state[key] }, text))));
  const charts = [];
  const parts = [
    windowLine(found),
    alertList(found.alerts),
    make("div", { class: "line start" }, choice("Arm and pair", "pair", pairs), choice("Target", "target", targets.map((t) => [t, t]))),
    liveFigures(pair, state.target),
    make("div", { class: "two-charts" },
      plot(charts, "monitoring-steps", "MAE by steps ahead, live beside the backtest", stepChart(pair, state.target, "MAE")),
      plot(charts, "monitoring-coverage", "Coverage of the 80 % interval by steps ahead", stepChart(pair, state.target, "coverage_80", asPercent)),
      plot(charts, "monitoring-days", "MAE by day of the actual", dayChart(pair, state.target, "MAE")),
      plot(charts, "monitoring-evidence", "Evidence of drift over time", evidenceChart(pair, state.target))),
    driftTable(pair, state.target),
    seriesTables(pair, state.target),
    diagnosisTable(found, pair),
    findingList(found.findings),
    skewLine(found.skew),
  ];
  host.replaceChildren(...parts.flat().filter(Boolean));
  for (const [place, spec] of charts) chart(place, spec);
}

function plot(charts, id, title, spec) {
  const place = make("div", { class: "chart", id });
  charts.push([place, spec]);
  return make("figure", {}, make("figcaption", {}, title), place);
}

function facts(entries) {
  return make("dl", { class: "figures" }, entries.map(([name, value, kind]) => make("div", {}, make("dt", {}, name), make("dd", { class: kind || "" }, value))));
}

function windowLine({ window, ledger }) {
  const missing = ledger.missing ? make("span", { class: "bad" }, `${ledger.missing} forecasts are missing`) : "no forecast is missing";
  return make("p", { class: "quiet" }, `Origins from ${when(window.first)} to ${when(window.last)}, judged `, make("time", { datetime: window.at }, when(window.at)),
    `. The ledger has ${ledger.rows.toLocaleString("en")} rows, `, missing, ledger.waiting ? `, ${ledger.waiting} wait to be written.` : ".");
}

function alertList(alerts) {
  if (!alerts.length) return make("p", { class: "quiet", id: "monitoring-alerts" }, "No alert is pending or firing.");
  return make("ul", { class: "plain", id: "monitoring-alerts" }, alerts.map((alert) => make("li", {},
    make("span", { class: `pill ${STATES[alert.state]}` }, alert.state), ` ${alert.name} `,
    make("span", { class: "quiet" }, `${Object.entries(alert.labels).filter(([key]) => !["alertname", "name"].includes(key)).map(([key, value]) => `${key} ${value}`).join(", ")}, since ${when(alert.since)}`))));
}

function liveFigures(pair, target) {
  const live = pair.live[target], past = pair.backtest[target], expected = pair.expected[target];
  const beside = (name, show, title = name) => [title, make("span", { "data-metric": name }, live[name] === undefined ? "–" : show(live[name]), make("small", {}, ` backtest ${past[name] === undefined ? "–" : show(past[name])}`))];
  return facts([
    beside("MAE", number), beside("MASE", number), beside("bias", number), beside("coverage_80", asPercent, "Coverage of 80 %"),
    ["Steps with an actual", live.steps.toLocaleString("en")],
    ["Waiting for actuals", make("span", {}, expected.waiting.toLocaleString("en"), expected.MAE_estimate === undefined ? null : make("small", {}, ` MAE estimated from the intervals ${number(expected.MAE_estimate)}`))],
    ["Requests without a forecast", String(pair.failed)],
  ]);
}

function stepChart(pair, target, metric, show) {
  const rows = pair.by_step[target], of = (read) => rows.map((row) => [row.step, read(row) ?? null]);
  const bands = rows.filter((row) => row.band[metric]).map((row) => [row.step, ...row.band[metric]]);
  const out = rows.filter((row) => row.outside_band.includes(metric)).map((row) => row.step);
  return {
    from: 1, to: Math.max(1, ...rows.map((row) => row.step)), ticks: stepTicks, text: show, show: (step) => `step ${step}`, zero: metric === "MAE", height: 190,
    empty: "No forecast has its actual yet.",
    label: `${metric} by step, live and in the backtest${out.length ? `; outside the band at ${out.join(", ")}` : ""}`,
    bands: bands.length ? [{ label: "95 % of resampled backtests", kind: "earlier", points: bands }] : [],
    lines: [{ label: "backtest", kind: "earlier", points: of((row) => row.backtest[metric]) }, { label: "live", kind: "forecast", dots: true, points: of((row) => row[metric]) }],
  };
}

function stepTicks(from, to, count) {
  const every = Math.max(1, Math.ceil((to - from + 1) / count));
  return Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, i) => [from + i * every, String(from + i * every)]);
}

function dayChart(pair, target, metric) {
  const rows = pair.by_day[target], past = pair.backtest[target][metric];
  const days = rows.map((row) => ms(`${row.day}T00:00`)), from = Math.min(...days), to = Math.max(...days);
  const lines = [{ label: "live", kind: "forecast", dots: rows.length < 40, points: rows.map((row, i) => [days[i], row[metric] ?? null]) }];
  if (past !== undefined && rows.length) lines.unshift({ label: "backtest, all steps", kind: "earlier", points: [[from, past], [to, past]] });
  return { from, to, show: (t) => when(new Date(t).toISOString()), zero: true, height: 190, empty: "No forecast has its actual yet.", label: `${metric} of each day`, lines };
}

/** The bucket of steps with the most evidence of each signal; the scale is logarithmic. */
function evidenceChart(pair, target) {
  const most = new Map();
  for (const one of pair.drift.filter((found) => found.target === target && found.path.length)) {
    if (!most.has(one.signal) || most.get(one.signal).evidence < one.evidence) most.set(one.signal, one);
  }
  const shown = [...most.values()], times = shown.flatMap((one) => one.path.map(([t]) => ms(t)));
  const from = Math.min(...times), to = Math.max(...times);
  const lines = shown.map((one, i) => ({ label: `${one.signal}, ${steps(one.steps)}`, kind: `arm-${i % 5}`, points: one.path.map(([t, wealth]) => [ms(t), Math.log10(wealth)]) }));
  if (shown.length) lines.push({ label: "alarm", kind: "limit", points: [from, to].map((t) => [t, Math.log10(shown[0].threshold)]) });
  return {
    from, to, text: (power) => evidence(10 ** power), show: (t) => when(new Date(t).toISOString()), height: 190,
    empty: "No forecast that can be tested has its actual yet.", label: `Evidence of drift: ${shown.map((one) => `${one.signal} ${evidence(one.evidence)}`).join(", ")}`, lines,
  };
}

function evidence(wealth) {
  return wealth >= 1e5 || wealth < 0.01 ? `10^${Math.round(Math.log10(wealth))}` : wealth >= 10 ? wealth.toFixed(0) : wealth.toPrecision(2);
}

function steps([first, last]) {
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

function numbersTable(id, caption, heads, rows) {
  return make("div", { class: "wide" }, make("table", { class: "numbers", id }, make("caption", {}, make("span", {}, caption)),
    make("thead", {}, make("tr", {}, heads.map((head, i) => make("th", { scope: "col", class: i ? "" : "text" }, head)))), make("tbody", {}, rows)));
}

function driftTable(pair, target) {
  const share = (one, key) => (one[key] === null ? "–" : number(one[key]));
  const rows = pair.drift.filter((one) => one.target === target).map((one) => make("tr", { "data-signal": one.signal, "data-verdict": one.verdict },
    make("th", { scope: "row" }, SIGNALS[one.signal] || one.signal), make("td", {}, steps(one.steps)),
    make("td", {}, make("span", { class: `pill ${one.verdict === "alarm" ? "bad" : one.verdict === "quiet" ? "good" : ""}` }, one.verdict)),
    make("td", {}, evidence(one.evidence)), make("td", {}, evidence(one.threshold)), make("td", {}, share(one, "live")), make("td", {}, share(one, "backtest")),
    make("td", {}, String(one.observations)), make("td", {}, one.since ? when(one.since) : "")));
  return make("details", { open: rows.some((row) => row.dataset.verdict === "alarm") }, make("summary", {}, "Drift by signal and steps"),
    numbersTable("monitoring-drift", "Live and backtest: the mean of what is watched, from 0 to 1", ["Signal", "Steps", "Verdict", "Evidence", "Alarm at", "Live", "Backtest", "Observations", "Since"], rows));
}

function seriesTables(pair, target) {
  const name = (entity) => Object.values(entity).join(" · ") || "the series";
  const worst = pair.worst_series[target], drifted = pair.drifted_series.filter((one) => one.target === target), odd = pair.anomalies[target];
  const tables = [];
  if (worst.length) {
    tables.push(numbersTable("monitoring-worst", "The worst series", ["Series", "MASE", "MAE", "bias", "coverage 80 %", "Steps"], worst.map((one) => make("tr", {},
      make("th", { scope: "row" }, name(one.entity)), make("td", {}, number(one.MASE)), make("td", {}, number(one.MAE)), make("td", {}, number(one.bias)), make("td", {}, asPercent(one.coverage_80)), make("td", {}, String(one.steps))))));
  }
  if (drifted.length) {
    tables.push(numbersTable("monitoring-drifted", "Series that drifted", ["Series", "Evidence"], drifted.map((one) => make("tr", {}, make("th", { scope: "row" }, name(one.entity)), make("td", {}, evidence(one.evidence))))));
  }
  if (odd.flagged) {
    tables.push(make("details", { open: odd.sure > 0 }, make("summary", {}, `Improbable actuals: ${odd.flagged} of ${odd.checked}, ${odd.sure} of them sure`), numbersTable("monitoring-anomalies", "The most improbable", ["Series", "Time", "Actual", "Forecast", "p-value", "Sure"], odd.worst.map((one) => make("tr", {},
      make("th", { scope: "row" }, name(one.entity)), make("td", {}, when(one.time)), make("td", {}, number(one.actual)), make("td", {}, number(one.forecast)), make("td", {}, one.p.toExponential(1)), make("td", {}, one.sure ? "yes" : ""))))));
  }
  return tables;
}

/** Which feature, forecast or error changed since the backtest; never an alarm. */
function diagnosisTable(found, pair) {
  const rows = found.diagnosis.filter((one) => one.arm === null || one.arm === pair.arm).slice(0, 30);
  if (!rows.length) return null;
  return make("details", {}, make("summary", {}, "What changed: features, forecasts, errors"),
    numbersTable("monitoring-diagnosis", "At the same season positions; shift and Wasserstein in standard deviations of before. No alarm comes of these", ["What", "Of", "Shift", "KS", "PSI", "Wasserstein", "Values"], rows.map((one) => make("tr", {},
      make("th", { scope: "row" }, one.name), make("td", {}, one.signal), make("td", {}, number(one.shift)), make("td", {}, number(one.KS)), make("td", {}, number(one.PSI)), make("td", {}, number(one.Wasserstein)), make("td", {}, String(one.live))))));
}

const FINDINGS = {
  new_category: (one) => `${one.feature}: '${one.value}', of ${one.series} series since ${when(one.since)}, was not seen in training`,
  dead_sensor: (one) => `${one.feature} of ${Object.values(one.entity).join(" · ")}: ${one.value === null ? "null" : number(one.value)} for ${one.repeats} steps since ${when(one.since)}`,
  stale_feature: (one) => `view ${one.view}: ${one.rows} rows were forecast from one older than its ttl`,
};

function findingList(findings) {
  if (!findings.length) return null;
  return make("div", { id: "monitoring-findings" }, make("p", { class: "bad" }, `Findings: ${findings.length}`),
    make("ul", { class: "checks" }, findings.slice(0, 20).map((one) => make("li", {}, FINDINGS[one.finding](one)))));
}

function skewLine(skew) {
  if (!skew) return null;
  const differences = skew.differences.slice(0, 10).map((one) => make("li", {}, `${Object.values(one.entity).join(" · ")} at ${when(one.origin)}: ${one.feature} is ${one.offline} for training, ${one.online} for serving`));
  return make("div", { id: "monitoring-skew" }, make("p", { class: differences.length ? "bad" : "quiet" }, `Skew: ${skew.differences.length || "no"} ${skew.differences.length === 1 ? "difference" : "differences"} between training and serving, ${skew.entities} entities compared.`),
    differences.length ? make("ul", { class: "checks" }, differences) : null);
}
