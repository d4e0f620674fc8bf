"use strict";
// The page is whole without this: it lets a reader ask the matrices for their digits.
const { backends, classes, digits } = JSON.parse(document.getElementById("data").textContent);
document.body.classList.add("with-script");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// What a click of the reader's fills is brought into view; what the page itself fills is not.
function show(panel, event) {
  if (event.isTrusted) panel.scrollIntoView({ block: "nearest" });
}

function press(button, among) {
  for (const other of among) other.setAttribute("aria-pressed", String(other === button));
}

// --- One digit: its picture, and every backend's ten probabilities ---------------------------

const columns = Number(document.body.dataset.columns);

function picture(place) {
  const tile = element("span", { class: "digit" });
  tile.style.setProperty("--x", place % columns);
  tile.style.setProperty("--y", Math.floor(place / columns));
  return tile;
}

function chances(place) {
  const digit = digits[place];
  const kind = (i) => ({ class: i === digit.true ? "true" : "" });
  const head = element("tr", {}, element("th", { scope: "col" }, "percent"));
  classes.forEach((name, i) => head.append(element("th", { scope: "col", ...kind(i) }, name)));
  const body = element("tbody");
  backends.forEach((backend, b) => {
    const row = element("tr", {}, element("th", { scope: "row" }, backend));
    digit.perMille[b].forEach((share, i) => {
      const bar = element("i");
      bar.style.height = `${share / 45}px`;
      row.append(element("td", kind(i), share >= 5 ? (share / 10).toFixed(0) : "", bar));
    });
    body.append(row);
  });
  const caption = element("caption", {}, `Test image ${digit.index}, a ${classes[digit.true]}`);
  return element("table", { class: "chances" }, caption, element("thead", {}, head), body);
}

// --- A cell of a matrix: the digits in it ------------------------------------------------------

function placesIn(cell) {
  const [backend, answered] = [cell.backend, Number(cell.answer)];
  const inCell = (answers) => answers[backend] === answered;
  return digits.flatMap((digit, place) => {
    if (digit.true !== Number(cell.true)) return [];
    const here = inCell(digit.answers);
    const differs = cell.difference && here !== (digit.answers[0] === answered);
    return (cell.difference ? differs : here) ? [place] : [];
  });
}

function sentence(cell, shown) {
  const [is, says] = [classes[cell.true], classes[cell.answer]];
  const whom = backends[cell.backend];
  if (cell.difference) {
    return `True ${is}, answered ${says} by ${whom} or by ${backends[0]}, not by both: `
      + `${shown} shown`;
  }
  return `True ${is}, answered ${says} by ${whom}: ${cell.count}, ${shown} shown`;
}

function showCell(cell) {
  const panel = document.getElementById("cell");
  const places = placesIn(cell);
  const strip = element("div", { class: "strip" });
  const detail = element("div");
  const buttons = places.map((place) => {
    const name = `test image ${digits[place].index}`;
    const button = element("button", { type: "button", "aria-label": name }, picture(place));
    button.addEventListener("click", () => {
      press(button, buttons);
      detail.replaceChildren(chances(place));
    });
    return button;
  });
  strip.append(...buttons);
  panel.replaceChildren(element("h3", {}, sentence(cell, places.length)), strip, detail);
  if (buttons.length) buttons[0].click();
}

// --- Matrices: one tab stop each, arrows walk from cell to cell --------------------------------

const cells = [];
for (const table of document.querySelectorAll("table.matrix")) {
  const difference = table.classList.contains("differences");
  const own = [];
  for (const td of table.querySelectorAll("td[data-count]")) {
    const label = `true ${classes[td.dataset.true]}, answer ${classes[td.dataset.answer]}: `;
    const button = element("button", {
      type: "button", tabindex: own.length ? "-1" : "0", "aria-pressed": "false",
      "aria-label": label + td.textContent,
    }, td.textContent);
    td.replaceChildren(button);
    const cell = { ...td.dataset, backend: Number(table.dataset.backend), difference };
    button.addEventListener("click", (event) => {
      press(button, cells);
      showCell(cell);
      show(document.getElementById("cell"), event);
    });
    own.push(button);
    cells.push(button);
  }
  table.addEventListener("keydown", (event) => walk(event, own));
  table.addEventListener("focusin", (event) => {
    for (const button of own) button.tabIndex = button === event.target ? 0 : -1;
  });
}

function walk(event, own) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const step = steps[event.key];
  if (!step || !own.includes(event.target)) return;
  event.preventDefault();
  const at = (button) => [button, Number(button.parentElement.dataset.true),
    Number(button.parentElement.dataset.answer)];
  const [, row, column] = at(event.target);
  const ahead = own.map(at)
    .map(([button, r, c]) => [button, (r - row) * step[0] + (c - column) * step[1],
      Math.abs((r - row) * step[1]) + Math.abs((c - column) * step[0])])
    .filter(([, forward, aside]) => forward > 0 && aside === 0)
    .sort((a, b) => a[1] - b[1]);
  if (!ahead.length) return;
  ahead[0][0].focus();
}

// What is confused most often is shown before anybody asks.
const mistakes = cells.filter((button) => button.closest("[data-matrix='0'] td:not(.right)"));
const count = (button) => Number(button.parentElement.dataset.count);
const first = mistakes.sort((a, b) => count(b) - count(a))[0];
if (first) first.click();

// --- Which backend's matrix ----------------------------------------------------------------------

const choices = [...document.querySelectorAll("[data-show]")];
function choose(button) {
  press(button, choices);
  for (const matrix of document.querySelectorAll("[data-matrix]")) {
    matrix.hidden = matrix.dataset.matrix !== button.dataset.show;
  }
  const pressed = document.querySelector("[data-matrix] td button[aria-pressed='true']");
  if (!pressed) return;
  const { true: is, answer } = pressed.parentElement.dataset;
  const same = document.querySelector(`[data-matrix='${button.dataset.show}'] `
    + `td[data-true='${is}'][data-answer='${answer}'] button`);
  if (same) same.click();
  else {
    press(null, cells);
    const words = `${backends[button.dataset.show]} answers no ${classes[is]} with ${classes[answer]}.`;
    document.getElementById("cell").replaceChildren(element("p", {}, words));
  }
}
for (const button of choices) button.addEventListener("click", () => choose(button));
choose(choices[0]);

// --- Galleries: a digit chosen shows the probabilities -------------------------------------------

const chosen = document.getElementById("chosen");
const tiles = [...document.querySelectorAll("[data-digit]")].map((span) => {
  const button = element("button", { type: "button", "aria-pressed": "false" }, ...span.childNodes);
  const place = Number(span.dataset.digit);
  button.setAttribute("aria-label",
    `test image ${digits[place].index}, ${span.textContent.trim() || button.textContent}`);
  button.addEventListener("click", (event) => {
    press(button, tiles);
    button.closest(".gallery").after(chosen);
    chosen.replaceChildren(chances(place));
    show(chosen, event);
  });
  span.replaceWith(button);
  return button;
});
