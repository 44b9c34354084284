"use strict";
// Charts by hand: lines, bands and stacked bars over time, as SVG. The pointer or the arrow keys read the values off.

const MARGIN = { left: 52, right: 14, top: 10, bottom: 26 };

function niceTicks(low, high, count) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let i = Math.floor(low / step); i <= Math.ceil(high / step); i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const TIME_STEPS = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function timeTicks(from, to, count) {
  const step = TIME_STEPS.find((s) => (to - from) / s <= count);
  if (step) {
    const ticks = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) ticks.push(t);
    return ticks.map((t) => [t, step < DAY ? new Date(t).toISOString().slice(11, 16) : dayLabel(t)]);
  }
  const months = (to - from) / (30 * DAY);
  const every = [1, 2, 3, 6, 12, 24, 60, 120].find((m) => months / m <= count) || 240;
  const ticks = [];
  const first = new Date(from);
  for (let m = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / every) * every; ; m += every) {
    const t = Date.UTC(Math.floor(m / 12), m % 12);
    if (t > to) return ticks;
    if (t >= from) ticks.push([t, every >= 12 ? String(Math.floor(m / 12)) : `${MONTHS[m % 12]} ${Math.floor(m / 12)}`]);
  }
}

function dayLabel(t) {
  const day = new Date(t);
  return `${day.getUTCDate()} ${MONTHS[day.getUTCMonth()]}`;
}

/**
 * Draw into `host`, again whenever its width changes.
 * spec: label (for screen readers), height, unit (of y), from, to (ms), show(ms) for the reading, zero (y begins there),
 * bands [{label, kind, points: [[ms, lower, upper]]}], lines [{label, kind, points: [[ms, y or null]]}],
 * text (of a value of y; the number), ticks (of x, as timeTicks gives them), plain (no legend), bars {series: [{label, kind, values}], edges: [[from, to]]}, marks [{at, label}], empty (text when there is nothing).
 */
function chart(host, spec) {
  host.spec = spec;
  if (!host.watcher) {
    host.watcher = new ResizeObserver(() => render(host));
    host.watcher.observe(host);
  }
  render(host);
}

function render(host) {
  const spec = host.spec, width = host.clientWidth, height = spec.height || 200;
  if (!width) return;
  const bands = spec.bands || [], lines = spec.lines || [], bars = spec.bars || { series: [], edges: [] };
  const values = [
    ...bands.flatMap((band) => band.points.flatMap((p) => [p[1], p[2]])),
    ...lines.flatMap((line) => line.points.map((p) => p[1])),
    ...bars.edges.map((_, i) => bars.series.reduce((sum, s) => sum + s.values[i], 0)),
  ].filter((value) => value !== null && Number.isFinite(value));
  if (!values.length) {
    host.replaceChildren(make("p", { class: "empty" }, spec.empty || "Nothing to show yet."));
    return;
  }
  const low = Math.min(...values, spec.zero ? 0 : Infinity), high = Math.max(...values, spec.zero ? 1e-9 : -Infinity);
  const ticks = niceTicks(low, high, Math.max(2, height / 55));
  const bottom = height - MARGIN.bottom, right = width - MARGIN.right;
  const x = (t) => MARGIN.left + ((t - spec.from) / (spec.to - spec.from || 1)) * (right - MARGIN.left);
  const y = (v) => bottom - ((v - ticks[0]) / (ticks[ticks.length - 1] - ticks[0])) * (bottom - MARGIN.top);
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spec.label, tabindex: 0 });
  for (const tick of ticks) {
    svg.append(draw("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { class: "tick", x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, spec.text ? spec.text(tick) : tick.toLocaleString("en")));
  }
  for (const [at, text] of (spec.ticks || timeTicks)(spec.from, spec.to, Math.max(2, width / 80))) {
    svg.append(draw("line", { class: "axis", x1: x(at), x2: x(at), y1: bottom, y2: bottom + 4 }));
    if (x(at) < right - 16) svg.append(draw("text", { class: "tick", x: x(at), y: bottom + 18, "text-anchor": "middle" }, text));
  }
  svg.append(draw("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
  for (const { at, label } of spec.marks || []) {
    svg.append(draw("line", { class: "mark", x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom }));
    svg.append(draw("text", { class: "tick", x: x(at) - 6, y: MARGIN.top + 8, "text-anchor": "end" }, label));
  }
  for (const band of bands) {
    const upper = band.points.map((p) => `${x(p[0])},${y(p[2])}`), lower = band.points.map((p) => `${x(p[0])},${y(p[1])}`).reverse();
    svg.append(draw("polygon", { class: `band ${band.kind}`, points: [...upper, ...lower].join(" ") }));
  }
  drawBars(svg, bars, x, y);
  for (const line of lines) drawLine(svg, line, x, y);
  host.replaceChildren(...(spec.plain ? [] : [legend([...bands, ...bars.series, ...lines])]), svg);
  reading(host, svg, spec, { bands, lines, bars }, x, [MARGIN.top, bottom]);
}

function drawBars(svg, bars, x, y) {
  bars.edges.forEach(([from, to], i) => {
    let below = 0;
    for (const series of bars.series) {
      if (!series.values[i]) continue;
      const top = y(below + series.values[i]), width = Math.max(1, x(to) - x(from) - 1);
      svg.append(draw("rect", { class: `bar ${series.kind}`, x: x(from), width, y: top, height: y(below) - top }));
      below += series.values[i];
    }
  });
}

/** Broken where a value is unknown; a value between two unknown ones is a dot. */
function drawLine(svg, line, x, y) {
  let run = [];
  const end = () => {
    if (run.length === 1) svg.append(draw("circle", { class: `dot ${line.kind}`, cx: x(run[0][0]), cy: y(run[0][1]), r: 2 }));
    if (run.length > 1) svg.append(draw("polyline", { class: `line ${line.kind}`, points: run.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") }));
    run = [];
  };
  for (const point of line.points) {
    if (point[1] === null) end();
    else run.push(point);
  }
  end();
  if (line.dots) for (const [t, v] of line.points) if (v !== null) svg.append(draw("circle", { class: `dot ${line.kind}`, cx: x(t), cy: y(v), r: 2.5 }));
}

function legend(series) {
  const seen = new Set();
  const items = series.filter((s) => s.label && !seen.has(s.label) && seen.add(s.label));
  return make("ul", { class: "legend" }, items.map((s) => make("li", {}, make("span", { class: `key ${s.kind} ${s.points && s.points[0] && s.points[0].length === 3 ? "is-band" : s.values ? "is-bar" : "is-line"}` }), s.label)));
}

/** What is at one time, beside the pointer or by the arrow keys. */
function reading(host, svg, spec, shown, x, [top, bottom]) {
  const rows = new Map();
  const text = spec.text || number;
  const note = (t, label, text) => rows.set(t, [...(rows.get(t) || []), [label, text]]);
  for (const line of shown.lines) for (const [t, v] of line.points) if (v !== null) note(t, line.label || line.name, text(v));
  for (const band of shown.bands) for (const [t, lower, upper] of band.points) if (lower !== null) note(t, band.label || band.name, `${text(lower)} to ${text(upper)}`);
  shown.bars.edges.forEach(([from, to], i) => shown.bars.series.forEach((s) => s.values[i] && note((from + to) / 2, s.label, number(s.values[i]))));
  const times = [...rows.keys()].sort((a, b) => a - b);
  if (!times.length) return;
  const cursor = draw("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" });
  svg.append(cursor);
  const box = make("div", { class: "reading", role: "status", hidden: true });
  host.append(box);
  let place = times.length - 1;
  const show = (i) => {
    place = Math.max(0, Math.min(times.length - 1, i));
    const at = x(times[place]);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, at);
    cursor.setAttribute("visibility", "visible");
    box.replaceChildren(make("strong", {}, spec.show(times[place])), make("dl", {}, rows.get(times[place]).map(([label, text]) => [make("dt", {}, label), make("dd", {}, text)])));
    box.hidden = false;
    const left = at > host.clientWidth / 2;
    box.style.left = left ? "auto" : `${at + 12}px`;
    box.style.right = left ? `${host.clientWidth - at + 12}px` : "auto";
  };
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    box.hidden = true;
  };
  svg.addEventListener("pointermove", (event) => {
    const at = event.clientX - svg.getBoundingClientRect().left;
    show(times.reduce((best, t, i) => (Math.abs(x(t) - at) < Math.abs(x(times[best]) - at) ? i : best), 0));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined) return;
    event.preventDefault();
    show(box.hidden ? place : place + step);
  });
}
