"use strict";
// One entity: what came, what is forecast, and what the pair's backtest had forecast.

const question = { entity: null, schema: null, asked: 0 };
const nameOf = (entity) => Object.values(entity).join(" · ");
const ofEntity = (entity) => (nameOf(entity) ? ` of ${nameOf(entity)}` : "");

/** The pair that answers: its targets, its horizon, its keys. */
async function beginForecast() {
  const pair = await ask("pair");
  const schema = pair.schema;
  question.schema = schema;
  by("entity-field").hidden = !schema.entity_keys.length;
  by("entity-label").textContent = `Entity (${schema.entity_keys.join(" · ")})`;
  const options = (values, text) => values.map((v) => make("option", { value: v }, text(v)));
  by("target").replaceChildren(...options(schema.targets, (t) => t));
  const steps = Array.from({ length: schema.horizon }, (_, i) => i + 1);
  const kept = by("horizon").value;
  by("horizon").replaceChildren(...options(steps, (n) => `${n} step${n > 1 ? "s" : ""}`));
  by("horizon").value = kept || schema.horizon;
  by("arm").replaceChildren(make("option", { value: "" }, "the entity's own"), ...options(pair.arms.map((a) => a.alias || String(a.version)), (a) => a));
  allowLevels(pair.highest_level);
  by("arm-field").hidden = pair.arms.length < 2;
  if (!question.entity) {
    const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const complete = schema.entity_keys.every((key) => key in given);
    const found = complete ? null : await ask("console/entities?limit=1");
    if (complete) choose(Object.fromEntries(schema.entity_keys.map((key) => [key, given[key]])));
    else if (found.entities.length) choose(found.entities[0]);
    else throw new Error("The store has no rows yet; run=ingest brings them.");
  } else await showForecast();
}

/** What the pair's backtest has errors enough for. */
function allowLevels(highest) {
  for (const box of document.querySelectorAll("input[name=level]")) {
    box.disabled = highest === null || Number(box.value) > highest;
    if (box.disabled) box.checked = false;
    box.parentElement.title = box.disabled ? "The pair's backtest has too few errors for it" : "";
  }
}

function choose(entity) {
  question.entity = entity;
  by("entity").value = nameOf(entity);
  history.replaceState(null, "", `#${new URLSearchParams(entity)}`);
  showForecast();
}

/** Forecast first: its origin says up to where the history goes, and from where on an actual value is what came afterwards. */
async function showForecast() {
  if (!question.entity) return;
  const mine = ++question.asked;
  by("forecast").setAttribute("aria-busy", "true");
  try {
    const levels = [...document.querySelectorAll("input[name=level]:checked")].map((box) => Number(box.value));
    const at = by("at").value.trim() || null, arm = by("arm").value;
    const body = { entity: question.entity, at, levels, horizon: Number(by("horizon").value) };
    const path = `predict/feast${arm ? `?arm=${encodeURIComponent(arm)}` : ""}`;
    const answer = await ask(path, body);
    const forecast = answer.forecasts[0];
    const origin = forecast.status === "ok" ? forecast.origin : at;
    const series = await ask("console/series", { entity: question.entity, steps: Number(by("steps").value), at: origin, arm: arm || null });
    if (mine !== question.asked) return;
    question.shown = { forecast, series, pair: answer.pair || forecast.pair };
    tell("forecast", null);
    drawForecast();
  } catch (error) {
    if (mine === question.asked) tell("forecast", error);
  } finally {
    if (mine === question.asked) by("forecast").removeAttribute("aria-busy");
  }
}

function drawForecast() {
  if (!question.shown) return;
  const { forecast, series, pair } = question.shown;
  const target = by("target").value, ok = forecast.status === "ok";
  const times = series.times.map(ms), ahead = forecast.times.map(ms), values = series.targets[target];
  const found = ok ? forecast.targets[target] : { mean: [], quantiles: {} };
  const first = Math.min(...times, ...ahead), last = Math.max(...times, ...ahead);
  const earlier = by("earlier").checked ? series.backtest.forecasts.filter((f) => ms(f.times[f.times.length - 1]) >= first && ms(f.times[0]) <= last) : [];
  const within = (points) => points.filter((p) => p[0] >= first && p[0] <= last && p[1] !== null);
  const lines = earlier.map((f) => ({ label: "backtest", kind: "earlier", points: within(f.times.map((t, i) => [ms(t), f.targets[target].mean[i]])) }));
  const quantiles = Object.entries(found.quantiles), [lower, upper] = [quantiles[0], quantiles[quantiles.length - 1]];
  const bands = earlier.filter((f) => f.targets[target].lower).map((f) => ({
    label: `backtest ${outermost()}`, kind: "earlier", points: within(f.times.map((t, i) => [ms(t), f.targets[target].lower[i], f.targets[target].upper[i]])),
  }));
  const levels = Object.entries(found.intervals || {}).sort((a, b) => b[0] - a[0]);
  if (levels.length) levels.forEach(([level, ends], i) => bands.push({ label: `${level} % interval`, kind: `interval level-${i}`, points: ahead.map((t, j) => [t, ends.lower[j], ends.upper[j]]) }));
  else if (upper) bands.push({ label: outermost(), kind: "interval level-0", points: ahead.map((t, i) => [t, lower[1][i], upper[1][i]]) });
  lines.push({ label: "actual", kind: "actual", points: times.map((t, i) => [t, values[i]]) });
  if (ok) lines.push({ label: "forecast", kind: "forecast", dots: ahead.length <= 60, points: ahead.map((t, i) => [t, found.mean[i]]) });
  const all = `${target}${ofEntity(question.entity)}: ${times.length} steps of history${ok ? ` and a forecast of ${ahead.length} steps from ${when(forecast.origin)}` : ", no forecast"}. Arrow keys read the values; the table below has them all.`;
  chart(by("forecast-chart"), {
    label: all, height: 340, from: first, to: last, bands, lines, show: (t) => when(new Date(t).toISOString()),
    marks: ok ? [{ at: ms(forecast.origin), label: "origin" }] : [],
    empty: "The store has no rows of this entity.",
  });
  const known = ahead.filter((t) => times.includes(t) && values[times.indexOf(t)] !== null).length;
  const after = known ? `${known} of the ${ahead.length} steps have an actual value by now.` : "What comes after the origin is not known yet.";
  const parts = ok
    ? [`One value per ${stepOf(series.frequency)}, in the target's unit. Origin ${when(forecast.origin)}, pair ${pair.name} version ${pair.version} (${pair.digest.slice(0, 12)}). ${after}`]
    : [`No forecast: ${forecast.status}: ${forecast.detail}.`];
  if (series.backtest.note) parts.push(`No backtest to draw: ${series.backtest.note}`);
  by("forecast-caption").textContent = parts.join(" ");
  by("forecast-caption").classList.toggle("bad", !ok);
  numbers(forecast, found, levels, ahead, times, values);
}

function outermost() {
  const { quantiles } = question.schema;
  return quantiles.length ? `quantiles ${quantiles[0]} to ${quantiles[quantiles.length - 1]}` : "";
}

function numbers(forecast, found, levels, ahead, times, values) {
  const columns = [["mean", found.mean], ...Object.entries(found.quantiles).map(([q, v]) => [`quantile ${q}`, v])];
  for (const [level, ends] of levels) columns.push([`${level} % lower`, ends.lower], [`${level} % upper`, ends.upper]);
  columns.push(["actual", ahead.map((t) => (times.includes(t) ? values[times.indexOf(t)] : null))]);
  const rows = forecast.times.map((t, i) => make("tr", {}, make("th", { scope: "row" }, make("time", { datetime: t }, when(t))), columns.map(([name, v]) => make("td", { "data-column": name, "data-value": v[i] }, number(v[i])))));
  const table = by("forecast-numbers");
  table.className = "numbers";
  table.replaceChildren(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Step (UTC)"), columns.map(([name]) => make("th", { scope: "col" }, name)))), make("tbody", {}, rows));
}

/** The entity's combobox: type to search, arrows and Enter to choose. */
const picker = { entities: [], place: -1, asked: 0 };

async function search() {
  const mine = ++picker.asked, typed = by("entity").value;
  const words = question.entity && typed === nameOf(question.entity) ? "" : typed.replaceAll("·", " ");
  try {
    const found = await ask(`console/entities?limit=50&search=${encodeURIComponent(words)}`);
    if (mine !== picker.asked) return;
    picker.entities = found.entities;
    const items = found.entities.map((entity, i) => make("li", { role: "option", id: `entity-${i}`, "aria-selected": "false", pointerdown: (event) => { event.preventDefault(); pick(i); } }, nameOf(entity)));
    const more = found.matching > items.length ? `${items.length} of ${found.matching}; type to narrow` : `${found.matching} of ${found.total} entities`;
    by("entities").replaceChildren(...items, make("li", { class: "quiet", role: "presentation" }, more));
    open(true);
    mark(items.length ? 0 : -1);
  } catch (error) {
    tell("forecast", error);
  }
}

function open(shown) {
  by("entities").hidden = !shown;
  by("entity").setAttribute("aria-expanded", String(shown));
  if (!shown) by("entity").removeAttribute("aria-activedescendant");
}

function mark(i) {
  picker.place = i;
  [...by("entities").querySelectorAll("[role=option]")].forEach((item, j) => {
    item.setAttribute("aria-selected", String(i === j));
    if (i === j) item.scrollIntoView({ block: "nearest" });
  });
  if (i >= 0) by("entity").setAttribute("aria-activedescendant", `entity-${i}`);
}

function pick(i) {
  open(false);
  if (picker.entities[i]) choose(picker.entities[i]);
}

function listenToForecast() {
  const input = by("entity");
  input.addEventListener("focus", () => { input.select(); search(); });
  input.addEventListener("input", search);
  input.addEventListener("blur", () => { open(false); if (question.entity) input.value = nameOf(question.entity); });
  input.addEventListener("keydown", (event) => {
    const last = picker.entities.length - 1;
    if (event.key === "ArrowDown") mark(Math.min(picker.place + 1, last));
    else if (event.key === "ArrowUp") mark(Math.max(picker.place - 1, 0));
    else if (event.key === "Enter" && !by("entities").hidden) pick(picker.place);
    else if (event.key === "Escape") open(false);
    else return;
    event.preventDefault();
  });
  by("question").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["horizon", "steps", "at", "arm"]) by(id).addEventListener("change", showForecast);
  for (const box of document.querySelectorAll("input[name=level]")) box.addEventListener("change", showForecast);
  for (const id of ["target", "earlier"]) by(id).addEventListener("change", drawForecast);
}
