"use strict";
(() => {
  const data = JSON.parse(document.getElementById("explore-data").textContent);
  const [target, series, plot, readout] = ["target", "series", "plot", "readout"].map(
    (name) => document.getElementById(`explore-${name}`));
  const option = (text, value) => Object.assign(document.createElement("option"), { textContent: text, value });
  const number = (v) => v === null || v === undefined ? "unknown" : v.toLocaleString("en", { maximumSignificantDigits: 5 });
  const when = (minutes) => new Date(minutes * 60000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");
  const node = (name, attributes, text) => {
    const made = document.createElementNS(plot.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  let shown = null, at = -1;

  const fill = () => {
    series.replaceChildren(...data.targets[target.value].series.map((one, i) => option(one.name, i)));
    draw();
  };

  const draw = () => {
    const one = data.targets[target.value].series[series.value];
    const width = Math.max(280, plot.clientWidth), height = 300, left = 58, right = 10, top = 10, bottom = 26;
    const keys = ["actual", "forecast", "baseline", "low", "high"].filter((key) => one[key]);
    const known = keys.flatMap((key) => one[key]).filter((v) => v !== null);
    let low = Math.min(...known), high = Math.max(...known);
    if (low === high) { low -= 1; high += 1; }
    const first = Math.min(...one.times), last = Math.max(...one.times);
    const x = (t) => left + (last === first ? .5 : (t - first) / (last - first)) * (width - left - right);
    const y = (v) => top + (high - v) / (high - low) * (height - top - bottom);
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.replaceChildren();
    for (let i = 0; i <= 3; i++) {
      const v = low + (high - low) * i / 3;
      plot.append(node("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), class: "grid" }),
        node("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, number(Number(v.toPrecision(3)))));
    }
    for (const [t, anchor] of [[first, "start"], [last, "end"]]) {
      plot.append(node("text", { x: x(t), y: height - 6, "text-anchor": anchor }, when(t)));
    }
    const steps = data.horizon, windows = one.times.length / steps;
    for (let w = 0; w < windows; w++) {
      const here = [...Array(steps).keys()].map((i) => w * steps + i);
      const path = (key, points) => points.filter((i) => one[key][i] !== null)
        .map((i, k) => `${k ? "L" : "M"}${x(one.times[i]).toFixed(1)} ${y(one[key][i]).toFixed(1)}`).join("");
      if (one.low) {
        const back = path("low", [...here].reverse()).replace("M", "L");
        const over = path("high", here);
        if (over && back) plot.append(node("path", { d: `${over}${back}Z`, class: "band" }));
      }
      for (const key of ["baseline", "actual", "forecast"]) {
        plot.append(node("path", { d: path(key, here), class: key, fill: "none" }));
      }
    }
    plot.append(node("line", { y1: top, y2: height - bottom, class: "cursor", visibility: "hidden" }));
    shown = { one, x, width };
    at = -1;
    readout.textContent = "Point at the plot, or choose it and use the arrow keys, for the values of a step.";
  };

  const tell = (index) => {
    const { one, x } = shown;
    at = index;
    const cursor = plot.querySelector(".cursor"), w = Math.floor(index / data.horizon);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(one.times[index]));
    cursor.setAttribute("visibility", "visible");
    const parts = [`actual ${number(one.actual[index])}`, `forecast ${number(one.forecast[index])}`];
    if (one.low) parts.push(`${data.band[0]} to ${data.band[1]} quantile ${number(one.low[index])} to ${number(one.high[index])}`);
    parts.push(`${data.baseline} ${number(one.baseline[index])}`);
    readout.textContent = `${when(one.times[index])}, ${index % data.horizon + 1} ahead of ${when(one.origins[w])}: ${parts.join(", ")}`;
  };

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect(), place = (event.clientX - box.left) * shown.width / box.width;
    let best = 0;
    shown.one.times.forEach((t, i) => {
      if (Math.abs(shown.x(t) - place) <= Math.abs(shown.x(shown.one.times[best]) - place)) best = i;
    });
    tell(best);
  });
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    tell(Math.min(shown.one.times.length - 1, Math.max(0, at + step)));
  });
  target.replaceChildren(...data.targets.map((one, i) => option(one.name, i)));
  target.addEventListener("change", fill);
  series.addEventListener("change", draw);
  addEventListener("resize", draw);
  fill();
})();
