"use strict";
// The OpenAPI document of this server, asked with the key of the console's tab where there is one.

const KEY = "console-key";

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function shown(path, method, operation) {
  const route = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(made("b", method.toUpperCase()), made("code", path), ` ${operation.summary || ""}`);
  route.append(summary);
  if (operation.description) route.append(made("p", operation.description));
  for (const part of ["parameters", "requestBody", "responses"])
    if (operation[part]) route.append(made("h4", part), made("pre", JSON.stringify(operation[part], null, 2)));
  return route;
}

async function read() {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const answer = await fetch("openapi.json", { headers, cache: "no-store" });
  const content = await answer.json();
  document.getElementById("key").hidden = answer.ok;
  if (!answer.ok) {
    document.getElementById("why").textContent = content.error.message;
    return;
  }
  document.getElementById("title").textContent = document.title = content.info.title;
  const routes = document.getElementById("routes");
  for (const [path, operations] of Object.entries(content.paths))
    for (const [method, operation] of Object.entries(operations)) routes.append(shown(path, method, operation));
  const schemas = document.createElement("details");
  schemas.append(made("summary", "Schemas"), made("pre", JSON.stringify((content.components || {}).schemas, null, 2)));
  routes.append(schemas);
}

document.getElementById("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, document.getElementById("value").value);
  read();
});
read();
