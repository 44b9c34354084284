"use strict";
// Which pair is live in each alias, what its backtest said, and what happened.

const ROLES = { primary: "answers", split: "answers its share", canary: "canary" };

function showPairs(found) {
  document.getElementById("name").textContent = found.name;
  document.title = `${found.name} – console`;
  const trouble = found.registry && make("p", { class: "bad" }, `The registry does not answer, so this is what the server knows by itself: ${found.registry}`);
  const cards = found.pairs.map((pair) => make("article", { class: "card", "data-alias": pair.alias || pair.version }, pairHead(pair), backtestTable(pair)));
  const empty = found.pairs.length ? null : make("p", { class: "empty" }, "The registry has no alias.");
  document.getElementById("pairs-body").replaceChildren(...[trouble, empty, ...cards].filter(Boolean));
}

function pairHead(pair) {
  const arm = pair.arm;
  const role = arm ? `${ROLES[arm.role]}, ${percent(arm.share)} of the entities` : "not served here";
  const other = arm && arm.version !== pair.version ? make("span", { class: "pill bad" }, `version ${arm.version} answers`) : null;
  const facts = [
    ["Digest", make("code", { title: pair.digest }, pair.digest.slice(0, 12))],
    ["Live since", pair.since ? make("span", {}, make("time", { datetime: pair.since }, when(pair.since)), ` (${ago(pair.since)})`) : "not recorded"],
    ["Registered", make("time", { datetime: pair.created }, when(pair.created))],
    ...(arm ? [["Forecasts on", arm.device === "cpu" ? "the CPU" : arm.device]] : []),
    ...(arm ? arm.gpus.map((gpu) => ["GPU", make("span", { title: gpu.gpu }, `${gpu.busy.toFixed(0)} % busy, ${gib(gpu.memory_used)} of ${gib(gpu.memory_total)} GiB`)]) : []),
    ...(arm ? arm.gpu_notes.map((note) => ["GPU", note]) : []),
    ["Run", make("code", { title: pair.run_id }, pair.run_id.slice(0, 12))],
  ];
  return make("div", { class: "head" },
    make("h3", {}, pair.alias || "no alias", make("span", { class: "version" }, `version ${pair.version}`), make("span", { class: arm ? "pill good" : "pill" }, role), other),
    make("dl", { class: "facts" }, facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
}

function gib(bytes) {
  return (bytes / 2 ** 30).toFixed(1);
}

const LOWER = new Set(["MAE", "RMSE", "WAPE", "MASE", "sMAPE", "RMSSE", "pinball", "WQL", "interval_score"]);

function backtestTable(pair) {
  if (!pair.backtest) return make("p", { class: "quiet" }, `No backtest figures: ${pair.note}`);
  const { targets, origins, first, last, horizon } = pair.backtest;
  const metrics = [...new Set(Object.values(targets).flatMap((sides) => Object.keys(sides.model)))];
  const rows = Object.entries(targets).flatMap(([target, { model, baseline }]) => [
    make("tr", { class: "first" }, make("th", { scope: "row" }, target), make("td", { class: "text" }, "model"), metrics.map((m) => figure(model[m], better(m, model, baseline)))),
    make("tr", {}, make("td", {}), make("td", { class: "text" }, "baseline"), metrics.map((m) => figure(baseline[m]))),
    make("tr", { class: "quiet" }, make("td", {}), make("td", { class: "text" }, "difference"), metrics.map((m) => make("td", {}, difference(m, model, baseline)))),
  ]);
  return make("div", { class: "wide" }, make("table", { class: "numbers" },
    make("caption", {}, make("span", {}, `Backtest: ${origins} origins from ${when(first)} to ${when(last)}, ${horizon} steps each; MAE, RMSE, bias, pinball and interval score in the target's unit, coverage of the outermost quantiles`)),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Target"), make("th", { scope: "col", class: "text" }, "Of"), metrics.map((m) => make("th", { scope: "col" }, m)))),
    make("tbody", {}, rows)));
}

function figure(value, mark = "") {
  return make("td", { class: mark, "data-value": value }, number(value));
}

function better(metric, model, baseline) {
  if (!LOWER.has(metric) || typeof baseline[metric] !== "number" || model[metric] === null) return "";
  return model[metric] < baseline[metric] ? "better" : model[metric] > baseline[metric] ? "worse" : "";
}

function difference(metric, model, baseline) {
  if (!LOWER.has(metric) || !baseline[metric] || model[metric] === null) return "";
  const percent = (100 * (model[metric] - baseline[metric])) / baseline[metric];
  return `${percent > 0 ? "+" : "−"}${Math.abs(percent).toFixed(1)} %`;
}

function showDifferences({ name, before, after, lines }) {
  const head = `${name}: version ${after.version} against ${before.version}`;
  by("diff-lines").replaceChildren(...[head, ...lines].map((line) => make("li", {}, line)));
}

async function compare(event) {
  event.preventDefault();
  const question = new URLSearchParams({ version: by("diff-version").value.trim(), against: by("diff-against").value.trim() });
  try {
    showDifferences(await ask(`console/diff?${question}`));
    tell("diff", null);
  } catch (error) {
    by("diff-lines").replaceChildren();
    tell("diff", error);
  }
}

const ACTIONS = { register: "registered", move: "moved", refuse: "refused", void: "voided", repair: "repaired", remove: "removed" };

function showHistory({ entries, total }) {
  const table = document.getElementById("history-table");
  const heads = ["When", "What", "Alias", "Version", "Who", "Why"];
  const rows = entries.map((entry) => make("tr", { "data-action": entry.action },
    make("td", {}, make("time", { datetime: entry.at }, when(entry.at).slice(0, 19))),
    make("td", {}, make("span", { class: `pill ${entry.action === "refuse" || entry.action === "void" ? "bad" : entry.action === "move" ? "good" : ""}` }, ACTIONS[entry.action] || entry.action)),
    make("td", {}, entry.alias || ""),
    make("td", { class: "nowrap" }, versions(entry)),
    make("td", {}, entry.who),
    make("td", { class: "why" }, why(entry))));
  table.replaceChildren(make("thead", {}, make("tr", {}, heads.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, rows));
  const shown = entries.length < total ? `The newest ${entries.length} of ${total} entries.` : `${total} ${total === 1 ? "entry" : "entries"}.`;
  document.getElementById("history-caption").textContent = total ? shown : "Nothing has happened yet.";
}

function versions({ before, after }) {
  if (before === null) return String(after ?? "");
  return after === null ? String(before) : `${before} → ${after}`;
}

function why(entry) {
  const checks = entry.verdict && entry.verdict.checks;
  if (!checks || !checks.length) return entry.reason || "";
  const failed = checks.filter((check) => !check.passed).length;
  const gate = failed ? `gate: ${failed} of ${checks.length} checks failed${entry.verdict.forced ? ", overruled" : ""}` : `gate: ${checks.length} checks passed`;
  const lines = checks.map((check) => make("li", { class: check.passed ? "" : "bad" }, `${check.passed ? "passed" : "failed"}: ${check.check}: ${check.detail}`));
  const reason = entry.action === "refuse" ? null : entry.reason;
  return [reason ? make("p", {}, reason) : null, make("details", {}, make("summary", {}, gate), make("ul", { class: "checks" }, lines))];
}
