// The page: sends drawings and pictures to POST /predict and shows the predictions. The service centres the digits.
"use strict";

const INK = 0.08; // width of the pen, as a share of the board
const SENT = 280; // side of the picture that is sent, in pixels: ten times that of the model's input
const PAUSE_MS = 60; // between two requests while drawing
const ADDRESS = new URL("predict", document.baseURI).href;
const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const percent = (p) => (p > 0.9994 && p < 1 ? "> 99.9 %" : `${(p * 100).toFixed(1)} %`);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// -- requests, and retrying them when the service is back ---------------------------------------------------

class Failure extends Error {
  constructor(message, again) {
    super(message);
    this.again = again; // whether to retry
  }
}

async function ask(path, options) {
  let response, text;
  try {
    const headers = key ? { ...options?.headers, "X-API-Key": key } : options?.headers;
    response = await fetch(path, { signal: AbortSignal.timeout(30_000), ...options, headers });
    text = await response.text();
  } catch {
    throw new Failure("The service does not answer.", true);
  }
  if (response.ok) return text;
  if (response.status === 401) $("key").hidden = false;
  let problem = {};
  try { problem = JSON.parse(text); } catch { /* the error page of a proxy */ }
  const message = problem.detail ?? problem.reason ?? `The service refused (${response.status}).`;
  throw new Failure(message, [429, 502, 503, 504].includes(response.status));
}

let key = sessionStorage.getItem("key") ?? ""; // of the service, where it needs one; forgotten with the tab

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("secret").value.trim();
  sessionStorage.setItem("key", key);
  $("key").hidden = true;
  $("secret").value = "";
  showModel();
  changed();
});

let recovery = null; // shared by all requests that wait

function recovered(failure) {
  const say = ({ message }) => { $("notice").textContent = `${message} Trying again …`; };
  say(failure);
  return (recovery ??= (async () => {
    for (let pause = 1000; ; pause = Math.min(pause * 1.5, 5000)) {
      await sleep(pause);
      try { await ask("health/ready"); break; } catch (error) { say(error); }
    }
    recovery = null;
    $("notice").textContent = "";
  })());
}

async function persist(attempt) {
  for (let tries = 1; ; tries++) {
    try { return await attempt(); } catch (error) {
      if (!error.again || tries === 4) throw error; // the service is ready: the request itself fails
      await recovered(error);
    }
  }
}

async function predict(picture, type) {
  const began = performance.now();
  const answer = JSON.parse(await ask("predict", { method: "POST", body: picture, headers: { "Content-Type": type } }));
  const ms = Math.round(performance.now() - began);
  const by = `${answer.model.name} version ${answer.model.version}`;
  if (by !== served) { // replaced while this page was open
    served = by;
    showModel();
  }
  return { ...answer.predictions[0], by, ms };
}

// -- the answer ---------------------------------------------------------------------------------------------

for (let digit = 0; digit < 10; digit++) {
  $("bars").append(element("li", {}, element("span", { textContent: digit }), element("i"), element("span")));
}

function show(answer, source, settled = true) {
  const probabilities = answer?.probabilities ?? Array(10).fill(0);
  [...$("bars").children].forEach((row, digit) => {
    row.className = answer?.digit === digit ? "best" : "";
    row.children[1].style.setProperty("--share", probabilities[digit]);
    row.children[2].textContent = answer ? percent(probabilities[digit]) : "–";
  });
  $("digit").textContent = answer ? answer.digit : "?";
  $("sure").textContent = answer ? sentence(answer) : "Nothing yet: draw a digit.";
  $("by").textContent = answer ? `${source}, read by ${answer.by} in ${answer.ms} ms` : "";
  if (settled) $("spoken").textContent = answer ? `${source}: ${answer.digit}. ${sentence(answer)}` : "";
}

function sentence({ digit, confidence, probabilities }) {
  if (confidence >= 0.9) return `${percent(confidence)} sure`;
  const others = probabilities.map((_, other) => other).filter((other) => other !== digit);
  const second = others.reduce((best, other) => (probabilities[other] > probabilities[best] ? other : best));
  return `${percent(confidence)} sure. Or is it a ${second}?`;
}

function complain(message) {
  show(null);
  $("digit").textContent = "!";
  $("sure").textContent = $("spoken").textContent = message;
}

// -- drawing ------------------------------------------------------------------------------------------------

const board = $("board");
let strokes = []; // each a list of points, 0 to 1 across the board; finished lists are replaced, never changed
let before = []; // earlier values of strokes, for undo
let pen = null; // id of the pointer that draws
let revision = 0, answered = 0, sheet = 0; // predictions for an older sheet are ignored
let asking = false;

function paint(canvas, size) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, size, size);
  Object.assign(context, { strokeStyle: "#fff", lineWidth: INK * size, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * size, y * size]);
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length; i++) {
      const [[x, y], [nextX, nextY]] = [points[i - 1], points[i]];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    const [x, y] = points.at(-1);
    context.lineTo(x + 0.01, y); // a tap leaves a dot
    context.stroke();
  }
}

function drawing() {
  const canvas = element("canvas");
  paint(canvas, SENT);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function changed() {
  revision++;
  paint(board, Math.round(board.clientWidth * devicePixelRatio));
  $("hint").hidden = strokes.length > 0;
  if (!asking) follow();
}

function replace(next) {
  [strokes, pen] = [next, null];
  sheet++;
  if (!next.length) show(null);
  changed();
}

async function follow() { // one request at a time; the last one is always for the newest drawing
  asking = true;
  while (answered !== revision) {
    let mine;
    try {
      await persist(async () => {
        [mine, answered] = [sheet, revision];
        if (!strokes.length) return;
        const answer = await predict(await drawing(), "image/png");
        if (mine === sheet) show(answer, "Your drawing", pen === null && answered === revision);
      });
    } catch (error) {
      if (mine === sheet) complain(error.message);
    }
    await sleep(PAUSE_MS);
  }
  asking = false;
}

function spot({ clientX, clientY }) {
  const { left, top, width, height } = board.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
}

board.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return;
  event.preventDefault();
  board.setPointerCapture(event.pointerId);
  pen = event.pointerId;
  before.push(strokes);
  strokes = [...strokes, [spot(event)]];
  sheet++;
  changed();
});
board.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return;
  const all = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(all.length ? all : [event]).map(spot));
  changed();
});
for (const name of ["pointerup", "pointercancel"]) {
  board.addEventListener(name, (event) => {
    if (event.pointerId !== pen) return;
    pen = null;
    changed();
  });
}
$("clear").onclick = () => { if (strokes.length) { before.push(strokes); replace([]); } };
$("undo").onclick = () => { if (before.length) replace(before.pop()); };
$("save").onclick = async () => {
  const href = URL.createObjectURL(await drawing());
  element("a", { href, download: "digit.png" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("clear").click();
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) $("undo").click();
});
new ResizeObserver(() => paint(board, Math.round(board.clientWidth * devicePixelRatio))).observe(board);

// -- pictures -----------------------------------------------------------------------------------------------

let queue = Promise.resolve(); // pictures are sent in the order in which they were added

function take(files) {
  for (const file of files) {
    const entry = element("li", { className: "waiting" }, thumbnail(file), element("b", { textContent: "…" }));
    $("gallery").append(entry);
    queue = queue.then(() => read(file, entry));
  }
}

function thumbnail(file) {
  const canvas = element("canvas", { width: 112, height: 112 });
  createImageBitmap(file).then((bitmap) => {
    const scale = Math.min(112 / bitmap.width, 112 / bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (112 - width) / 2, (112 - height) / 2, width, height);
  }).catch(() => {}); // the browser cannot show every format that the service reads
  return canvas;
}

async function read(file, entry) {
  const name = element("small", { textContent: file.name, title: file.name });
  try {
    const type = file.type.startsWith("image/") ? file.type : "image/unknown"; // the service detects the format
    const bytes = await file.arrayBuffer();
    const answer = await persist(() => predict(bytes, type));
    const again = () => { sheet++; show(answer, file.name); };
    const label = `${file.name}: ${answer.digit}, ${percent(answer.confidence)} sure. Show all ten probabilities.`;
    const button = element("button", { type: "button", ariaLabel: label, onclick: again }, ...entry.children);
    button.children[1].textContent = answer.digit;
    button.append(element("span", { textContent: percent(answer.confidence) }), name);
    entry.replaceChildren(button);
    entry.className = "";
    again();
  } catch (error) {
    entry.className = "bad";
    entry.lastChild.textContent = "!";
    entry.append(name, element("p", { textContent: error.message }));
    $("spoken").textContent = `${file.name}: ${error.message}`;
  }
}

$("files").onchange = ({ target }) => { take(target.files); target.value = ""; };
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.className = "dragging"; });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.className = ""; });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.className = "";
  take(event.dataTransfer.files);
});

// -- the model, and the examples ----------------------------------------------------------------------------

let served = ""; // the model whose card is shown

async function showModel() {
  const load = () => Promise.all([ask("model"), ask("model", { headers: { Accept: "text/plain" } })]);
  const [json, layers] = await persist(load).catch((error) => ["{}", error.message]);
  const card = JSON.parse(json);
  served = `${card.name} version ${card.version}`;
  const { test, validation } = card.metrics ?? {};
  const measured = test ?? validation;
  const right = `Right on ${measured?.n.toLocaleString("en")} ${test ? "test digits" : "digits held out"}`;
  const facts = {
    "Name": card.name && `${card.name}, version ${card.version}`,
    "Architecture": card.architecture,
    [right]: measured && `${(measured.accuracy * 100).toFixed(2)} %`,
    "Parameters": card.parameters?.toLocaleString("en"),
    "Published": card.created && new Date(card.created).toLocaleDateString("en", { dateStyle: "medium" }),
    "Runs on": card.provider?.toUpperCase(),
  };
  const pair = ([dt, dd]) => element("div", {}, element("dt", { textContent: dt }), element("dd", { textContent: dd }));
  $("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(pair));
  $("layers").textContent = layers.trimEnd();
}

$("curl").textContent = `curl ${ADDRESS} -H "Content-Type: image/png" --data-binary @digit.png`;
$("python").textContent = `import json, urllib.request

url = "${ADDRESS}"
headers = {"Content-Type": "image/png"}
picture = open("digit.png", "rb").read()
request = urllib.request.Request(url, picture, headers)
answer = json.load(urllib.request.urlopen(request))
print(answer["predictions"][0])`;

for (const button of document.querySelectorAll("[data-copy]")) {
  button.onclick = async () => {
    const code = $(button.dataset.copy);
    getSelection().selectAllChildren(code);
    try { await navigator.clipboard.writeText(code.textContent); } catch { // only https and localhost have it
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
}

replace([]);
showModel();
