"use strict";

// Sorting: numbers before words, gaps last in either direction.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "" || cell.classList.contains("gap")) return null;
  // Keys are words, even those that happen to look like numbers.
  const number = cell.querySelector("code") ? NaN : Number(text.replace("−", "-"));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === typeof b) {
    return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  }
  return typeof a === "number" ? -1 : 1;
}

function columnOf(heading) {
  // Headings of row labels span all levels; the others stand in the last one, to the right of them.
  const head = heading.closest("thead");
  const last = head.rows[head.rows.length - 1];
  if (heading.parentElement !== last || head.rows.length === 1) {
    return heading.cellIndex;
  }
  const labels = [...head.rows[0].cells].filter((cell) => cell.rowSpan > 1).length;
  return labels + heading.cellIndex;
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const heading = event.target.closest("button")?.closest("th");
    if (!heading) return;
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const column = columnOf(heading);
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return descending ? compare(b, a) : compare(a, b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  });
}

// Filtering the list of cells: by words, by state, or by the keys behind a number.
const rows = [...document.querySelectorAll("#cell-list tbody tr")];
const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
const words = document.getElementById("filter");
const state = document.getElementById("state");
const count = document.getElementById("count");
let keys = null;

function apply() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, number) => {
    const fits =
      (keys === null || keys.has(row.dataset.key)) &&
      (state.value === "" || row.dataset.state === state.value) &&
      wanted.every((word) => texts[number].includes(word));
    row.hidden = !fits;
    shown += fits;
  });
  count.textContent = `${shown} of ${rows.length}` + (keys === null ? "" : " (those behind the number you chose)");
}

function reset() {
  keys = null;
  words.value = "";
  state.value = "";
  apply();
}

words.addEventListener("input", apply);
state.addEventListener("change", apply);
document.getElementById("reset").addEventListener("click", reset);
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-keys]");
  if (!link) return;
  reset();
  keys = new Set(link.dataset.keys.split(" "));
  apply();
});
apply();
