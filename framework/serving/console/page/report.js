"use strict";
// The page of a run: what it found is written in it.

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => { document.documentElement.dataset.theme = dark.matches ? "dark" : "light"; };
dark.addEventListener("change", paint);
paint();
const { name, found } = JSON.parse(by("found").textContent);
by("name").textContent = document.title = `${name}: what was served`;
showMonitoring(by("monitoring-body"), found);
