"use strict";

// Models are asked for one by one, for there may be thousands.
const SHOWN = 50;
// Larger requests are slow to edit.
const ELEMENTS = 5000;

const at = (id) => document.getElementById(id);

function element(name, text, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const tensor = ({ name, datatype, shape }) => `${name}: ${datatype} [${shape.join(", ")}]`;

function describe(model) {
  const about = model.properties?.description;
  const rows = [["inputs", model.inputs], ["outputs", model.outputs]].map(([name, tensors]) =>
    element("p", `${name}: `, [element("code", tensors.map(tensor).join(", ") || "none")]));
  const article = element("article", undefined, [element("h3", model.name)]);
  if (about) {
    const text = element("p", about);
    text.className = "about";
    article.append(text);
  }
  article.append(...rows);
  return article;
}

function example(model) {
  const inputs = model.inputs.map(({ name, datatype, shape }) => {
    const sizes = shape.map((size) => Math.max(size, 1));
    const count = sizes.reduce((product, size) => product * size, 1);
    if (count > ELEMENTS) return { name, datatype, shape: sizes, data: `… ${count} elements` };
    const value = { BOOL: () => false, BYTES: () => "text", FP32: real, FP64: real }[datatype] ?? whole;
    return { name, datatype, shape: sizes, data: Array.from({ length: count }, (_, index) => value(index)) };
  });
  return JSON.stringify({ inputs }, null, 1).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, list) => `[${list.replace(/\s+/g, " ")}]`);
}

const real = (index) => (index % 16) / 16;
const whole = (index) => index % 2;

const path = (model) => `/v2/models/${encodeURIComponent(model)}`;

async function choose() {
  at("request").value = "";
  const model = at("model").value;
  if (model) at("request").value = example(await get(path(model)));
}

async function send(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  at("status").textContent = "Waiting for the answer.";
  const start = performance.now();
  try {
    const headers = { "content-type": "application/json" };
    const body = at("request").value;
    const answer = await fetch(`${path(at("model").value)}/infer`, { method: "POST", headers, body });
    const text = await answer.text();
    at("status").textContent = `${answer.status} after ${Math.round(performance.now() - start)} ms`;
    at("answer").hidden = false;
    at("answer").textContent = readable(text);
  } catch (error) {
    at("status").textContent = `No answer: ${error.message}`;
  }
  button.disabled = false;
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}

function list(description) {
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, { summary }] of Object.entries(methods)) {
      const cells = [method.toUpperCase(), path, summary].map((text) => element("td", text));
      at("endpoints").append(element("tr", undefined, cells));
    }
  }
}

async function start() {
  at("try").addEventListener("submit", send);
  at("model").addEventListener("change", choose);
  get("/openapi.json").then(list);
  const server = await get("/v2");
  at("server").textContent = `${server.name} ${server.version}, Open Inference Protocol v2`;
  const { models } = await get("/v2/models");
  at("no-models").hidden = models.length > 0;
  at("model").append(...models.map((name) => element("option", name)));
  await choose();
  for (const name of models.slice(0, SHOWN)) {
    try {
      at("models").append(describe(await get(path(name))));
    } catch {
      // A model behind a front may answer elsewhere.
    }
  }
  if (models.length > SHOWN) {
    at("models").append(element("p", `and ${models.length - SHOWN} more`));
  }
}

start().catch((error) => { at("status").textContent = error.message; });
