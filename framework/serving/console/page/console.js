"use strict";
// When each section reads again, the key, the colours.

/** Run now and every so many seconds while somebody looks; a failure is told in the section and tried again. */
function keep(section, seconds, read) {
  const turn = async () => {
    if (document.hidden) return;
    try {
      await read();
      tell(section, null);
    } catch (error) {
      tell(section, error);
    }
  };
  turns.push(turn);
  if (seconds) setInterval(turn, seconds * 1000);
}

const turns = [];

async function showState() {
  const pill = by("state");
  try {
    const ready = await ask("health/ready", undefined, [503]);
    const pair = ready.pair;
    pill.textContent = ready.error ? ready.error.message : `${ready.status}: version ${pair.version}${pair.alias ? ` @${pair.alias}` : ""}`;
    pill.className = `pill ${ready.status === "ready" ? "good" : "bad"}`;
    if (pair && by("name").textContent === "Console") by("name").textContent = pair.name;
    const digest = pair ? pair.digest : null;
    if (showState.digest && digest && digest !== showState.digest) turns.forEach((turn) => turn()); // another pair answers: read all anew
    showState.digest = digest || showState.digest;
  } catch (error) {
    pill.textContent = error.message;
    pill.className = "pill bad";
  }
}

function listenToKey() {
  const dialog = by("key-dialog"), forget = by("forget");
  forget.hidden = !sessionStorage.getItem(KEY);
  by("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, by("key").value.trim());
    by("key").value = "";
    dialog.close();
    forget.hidden = false;
    turns.forEach((turn) => turn());
  });
  by("key-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { askForKey.declined = !sessionStorage.getItem(KEY); });
  forget.addEventListener("click", () => { sessionStorage.removeItem(KEY); location.reload(); });
}

function listenToTheme() {
  const button = by("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const dark = localStorage.getItem("console-theme") ? localStorage.getItem("console-theme") === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-pressed", String(dark));
  };
  button.addEventListener("click", () => {
    localStorage.setItem("console-theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

by("docs").href = `${BASE}docs`;
listenToTheme();
listenToKey();
listenToForecast();
by("diff-form").addEventListener("submit", compare);
keep("forecast", 0, beginForecast);
keep("traffic", 5, async () => showTraffic(await ask("console/traffic")));
keep("pairs", 10, async () => showPairs(await ask("console/pairs")));
keep("monitoring", 30, async () => showMonitoring(by("monitoring-body"), (await ask("console/monitoring")).report));
keep("history", 15, async () => showHistory(await ask("console/history")));
by("stage-arm").addEventListener("change", () => showTraffic.found && showTraffic(showTraffic.found));
turns.forEach((turn) => turn());
showState();
setInterval(() => document.hidden || showState(), 5000);
document.addEventListener("visibilitychange", () => document.hidden || turns.forEach((turn) => turn()));
