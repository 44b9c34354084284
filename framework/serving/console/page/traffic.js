"use strict";
// The last minutes, from the server's own metrics: requests, latency, arms, shadows, what is degraded.

const SPAN = 15 * 60 * 1000;
const STATUSES = [["2", "answered (2xx)", "good"], ["4", "refused (4xx)", "warn"], ["5", "failed (5xx)", "bad"]];

function showTraffic(found) {
  showTraffic.found = found;
  const to = ms(found.now), from = to - SPAN;
  const ends = found.times.map(ms), edges = ends.map((end, i) => [Math.max(from, end - 1000 * found.seconds[i]), end]);
  const clock = (t) => `${new Date(t).toISOString().slice(11, 19)} UTC`;
  const add = (entries) => ends.map((_, i) => entries.reduce((sum, e) => sum + e.counts[i], 0));
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const empty = "No request for a forecast in this time.";
  const base = { from, to, show: clock, zero: true, height: 150, empty };
  const byStatus = STATUSES.map(([digit, label, kind]) => ({ label, kind, values: add(found.requests.filter((r) => r.status.startsWith(digit))) }));
  const totals = byStatus.map((s) => sum(s.values)), all = sum(totals);
  chart(by("requests-chart"), { ...base, label: `Requests by status: ${byStatus.map((s, i) => `${totals[i]} ${s.label}`).join(", ")}`, bars: { edges, series: byStatus.filter((_, i) => totals[i]) } });
  const load = (arm) => sum(found.requests.filter((r) => r.arm === arm).map((r) => sum(r.counts)));
  const arms = [...new Set(found.requests.map((r) => r.arm))].sort((a, b) => load(b) - load(a));
  const byArm = arms.map((arm, i) => ({ label: arm || "none (refused before)", kind: `arm-${i % 5}`, values: add(found.requests.filter((r) => r.arm === arm)) }));
  chart(by("arms-chart"), { ...base, label: `Requests by arm: ${byArm.map((s) => `${sum(s.values)} ${s.label}`).join(", ")}`, bars: { edges, series: byArm.filter((s) => sum(s.values)) } });
  const share = (n) => (n ? ` (${percent((100 * n) / all)})` : "");
  figures([["Requests", String(all)], ["Refused (4xx)", `${totals[1]}${share(totals[1])}`], ["Failed (5xx)", `${totals[2]}${share(totals[2])}`, totals[2] ? "bad" : ""], ["In flight now", String(found.in_flight)]]);
  showStages(found, base, ends);
  showVariants(found);
  by("alerts").replaceChildren(...Object.entries(found.degraded).map(([alias, why]) => make("p", { class: "alert" }, make("strong", {}, `Degraded: ${alias}. `), why)));
}

function figures(entries) {
  by("figures").replaceChildren(...entries.map(([name, value, kind]) => make("div", {}, make("dt", {}, name), make("dd", { class: kind || "" }, value))));
}

function showStages(found, base, ends) {
  const select = by("stage-arm"), names = [...new Set(found.stages.map((s) => s.arm).filter((a) => a !== null))];
  by("stage-arm-field").hidden = !names.length;
  if (select.length !== names.length + 1) {
    select.replaceChildren(make("option", { value: "" }, "all"), ...names.map((n) => make("option", { value: n }, n)));
  }
  const stages = found.stages.filter((s) => (s.arm || "") === select.value);
  const host = by("stages");
  if (host.children.length !== stages.length) host.replaceChildren(...stages.map(() => make("figure", {}, make("figcaption"), make("div", { class: "chart" }))));
  stages.forEach((stage, i) => {
    const [caption, place] = host.children[i].children, { p50, p95, count } = stage.last;
    caption.replaceChildren(make("strong", {}, stage.stage), make("span", { class: "quiet" }, count ? `p50 ${number(p50)} ms · p95 ${number(p95)} ms` : "no request"));
    const line = (key) => ends.map((t, j) => [t, stage[key][j]]);
    chart(place, {
      ...base, height: 120, plain: true, empty: "No request.", label: `${stage.stage}: ${count} requests, median ${number(p50)} ms, 95 % within ${number(p95)} ms`,
      lines: [{ label: "p95, ms", kind: "p95", points: line("p95") }, { label: "p50, ms", kind: "p50", points: line("p50") }],
    });
  });
}

function showVariants(found) {
  const parts = [];
  if (found.canary) {
    const { alias, share, halted } = found.canary;
    parts.push(make("p", { class: halted ? "bad" : "" }, make("strong", {}, `Canary ${alias}: `), halted ? `halted: ${halted}` : `${percent(share)} of the entities`));
  }
  for (const alias of found.shadowed) {
    const counts = found.shadows.find((s) => s.alias === alias) || {};
    const told = Object.entries(counts).filter(([key]) => key !== "alias").map(([outcome, n]) => `${n} ${outcome}`).join(", ");
    parts.push(make("p", {}, make("strong", {}, `Shadow ${alias}: `), told ? `${told}, since the server began` : "not asked yet"));
  }
  by("variants").replaceChildren(...parts);
}
