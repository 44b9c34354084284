"use strict";
// What the page asks its server, and with which key. Addresses are relative: the server may be mounted anywhere.

const BASE = location.pathname.endsWith("/") ? location.pathname : `${location.pathname}/`;
const KEY = "console-key";

const by = (id) => document.getElementById(id);
const ms = (text) => Date.parse(/[Z+]/.test(text) ? text : `${text}Z`);

class Refused extends Error {
  constructor(status, message, path) {
    super(message);
    this.status = status;
    this.path = path;
  }
}

/** JSON from the server. A body makes it a POST. Throws Refused; its status is 0 when nobody answered. */
async function ask(path, body, expected = []) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    const method = body === undefined ? "GET" : "POST";
    answer = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok || expected.includes(answer.status)) return content;
  // The answer to a key that was replaced meanwhile comes late: wrong keys are slowed down.
  if (answer.status === 401 && key === sessionStorage.getItem(KEY)) askForKey(key ? "The server does not know this key." : "");
  const error = content.error || {};
  throw new Refused(answer.status, error.message || `${answer.status} ${answer.statusText}`, error.path);
}

function askForKey(why) {
  const dialog = document.getElementById("key-dialog");
  if (dialog.open || askForKey.declined) return;
  document.getElementById("key-error").textContent = why;
  dialog.showModal();
}

/** An element with attributes, listeners (functions) and children (texts, nodes, null for none). */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Four digits that matter; the full number is kept where it is shown. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
}

/** "2013-12-31", with the hour where a step is not a day. */
function when(text) {
  if (!text) return "–";
  const shown = text.replace(/(\.\d+)?(Z|\+00:00)$/, "").replace("T", " ").slice(0, 19);
  return shown.replace(/ 00:00:00$/, "").replace(/:00$/, "");
}

/** Per cent without digits that say nothing. */
function percent(value) {
  return `${Number(value.toFixed(2))} %`;
}

const UNITS = { s: "second", min: "minute", h: "hour", D: "day", B: "business day", W: "week", M: "month", Q: "quarter", Y: "year" };

/** "day", or "15 minutes": the length of a step. */
function stepOf(frequency) {
  const [, count, unit] = /^(\d*)(min|s|h|D|B|W|M|Q|Y)/.exec(frequency);
  return Number(count) > 1 ? `${count} ${UNITS[unit]}s` : UNITS[unit];
}

function ago(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    const count = Math.floor(seconds / size);
    if (count) return `${count} ${name}${count > 1 ? "s" : ""} ago`;
  }
  return "just now";
}

/** Show what a section could not read; what it has shown before stays, faint. */
function tell(section, error) {
  const message = document.querySelector(`#${section} .message`);
  const body = document.querySelector(`#${section} .body`);
  body.classList.toggle("old", Boolean(error));
  message.textContent = error ? sentence(error) : "";
  message.classList.toggle("bad", Boolean(error));
}

function sentence(error) {
  const text = error.path ? `${error.path}: ${error.message}` : error.message;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
