const data = JSON.parse(document.getElementById("data").textContent);
const table = document.querySelector("#runs tbody");
const rows = table ? [...table.rows] : [];
const filter = document.getElementById("filter");

const settings = new Map(Object.entries(data.settings)); // a list for each recipe key that differs
const common = new Map(Object.entries(data.common)); // the value of each recipe key that does not differ
const columns = new Map(data.headings.map((heading, column) => [heading, column]));

/* The value of a recipe key or a column of a run; undefined if there is no such key. */
function valueOf(index, key) {
  if (columns.has(key)) return data.runs[index].values[columns.get(key)];
  return settings.has(key) ? settings.get(key)[index] : common.get(key);
}

const withoutQuotes = (text) => text.replaceAll('"', "");

/* A function of a run's index for each condition of a filter. A condition with an unknown key is a word. */
function conditionsOf(text) {
  const words = text.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  return words.map(withoutQuotes).map((word) => {
    const found = word.match(/^([^=!<>]+)(!=|<=|>=|=|<|>)(.*)$/);
    if (!found || ![columns, settings, common].some((known) => known.has(found[1]))) {
      const wanted = word.toLowerCase();
      return (index) => `${data.runs[index].name} ${valueOf(index, "status")}`.toLowerCase().includes(wanted);
    }
    const [, key, operator, wanted] = found;
    return (index) => compare(valueOf(index, key), operator, wanted);
  });
}

function compare(value, operator, wanted) {
  const text = withoutQuotes(String(value ?? "none"));
  const numbers = [Number(text), Number(wanted)];
  const isNumeric = wanted !== "" && text !== "" && !numbers.some(Number.isNaN);
  const [a, b] = isNumeric ? numbers : [text.toLowerCase(), wanted.toLowerCase()];
  if (operator === "=") return a === b;
  if (operator === "!=") return a !== b;
  if (!isNumeric) return false;
  return { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b }[operator];
}

function applyFilter() {
  const conditions = conditionsOf(filter.value);
  let shown = 0;
  for (const row of rows) {
    row.hidden = !conditions.every((holds) => holds(Number(row.dataset.index)));
    shown += row.hidden ? 0 : 1;
  }
  const all = rows.length.toLocaleString("en-US");
  document.getElementById("count").textContent =
    shown === rows.length ? `${all} ${rows.length === 1 ? "run" : "runs"}` : `${shown.toLocaleString("en-US")} of ${all} runs`;
}

function offerConditions() {
  const [keys, values] = ["filter-key", "filter-value"].map((id) => document.getElementById(id));
  const option = (value) => element("option", { value, textContent: value });
  keys.append(...[...settings.keys()].map(option));
  keys.addEventListener("change", () => {
    const found = [...new Set((settings.get(keys.value) ?? []).map((value) => value ?? "none"))];
    values.replaceChildren(element("option", { value: "", textContent: "choose ..." }), ...found.sort().map(option));
    values.disabled = !keys.value;
  });
  values.addEventListener("change", () => {
    if (!values.value) return;
    const text = withoutQuotes(values.value);
    filter.value = `${filter.value} ${keys.value}=${/\s/.test(text) ? `"${text}"` : text}`.trim();
    keys.value = values.value = "";
    values.disabled = true;
    applyFilter();
  });
}

function sortBy(button) {
  const column = Number(button.dataset.column);
  const heading = button.closest("th");
  const descending = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const key = (row) => {
    const run = data.runs[Number(row.dataset.index)];
    return column === 0 ? run.name : run.values[column - 1];
  };
  const keys = new Map(rows.map((row) => [row, key(row)]));
  const missing = (value) => value === null || value === undefined;
  rows.sort((left, right) => {
    const [a, b] = [keys.get(left), keys.get(right)];
    if (missing(a) || missing(b)) return missing(a) - missing(b); // last in both directions
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return descending ? -order : order;
  });
  table.append(...rows);
}

const chosen = [];

function choose(row) {
  const box = row.querySelector("input");
  if (box.checked) chosen.push(row);
  else chosen.splice(chosen.indexOf(row), 1);
  while (chosen.length > 2) chosen.shift().querySelector("input").checked = false;
  showComparison();
  if (chosen.length === 2) document.getElementById("comparison-heading").focus(); // it stands above the table
}

function showComparison() {
  const section = document.getElementById("comparison");
  section.hidden = chosen.length < 2;
  if (section.hidden) return;
  const runs = chosen.map((row) => data.runs[Number(row.dataset.index)]);
  document.getElementById("compared").replaceChildren(
    ...chosen.map((row, number) => {
      const caption = element("figcaption", { textContent: runs[number].name });
      const thumbnail = row.querySelector("img");
      return element("figure", {}, caption, ...(thumbnail ? [element("img", { src: thumbnail.src, alt: thumbnail.alt })] : []));
    }),
  );
  document.getElementById("difference-heads").replaceChildren(
    ...["key", ...runs.map((run) => run.name)].map((textContent) => element("th", { textContent, scope: "col" })),
  );
  document.getElementById("differences").replaceChildren(...differencesOf(chosen));
  const group = new ChartGroup(document.getElementById("charts"), comparedCharts(runs), { positions: {} });
  const smooth = document.getElementById("smooth");
  smooth.onchange = () => group.setSmooth(smooth.checked);
  group.setSmooth(smooth.checked);
  for (const button of section.querySelectorAll("[data-zoom]")) button.onclick = () => group.zoom(button.dataset.zoom);
}

const FIRST_COLUMN = 3; // of a row's cells: after the check box, the picture and the name

/* A row for each column and recipe key whose values differ, as the table shows them. */
function differencesOf(compared) {
  const textOf = (row, key) =>
    columns.has(key) ? row.cells[FIRST_COLUMN + columns.get(key)].textContent : (valueOf(Number(row.dataset.index), key) ?? "-");
  const line = (key) => {
    const texts = compared.map((row) => textOf(row, key));
    if (texts[0] === texts[1]) return [];
    const cells = texts.map((textContent) => element("td", { textContent }));
    return [element("tr", {}, element("th", { textContent: key, scope: "row" }), ...cells)];
  };
  return [...columns.keys(), ...settings.keys()].flatMap(line);
}

/* A chart for each loss that one of the runs has, with a curve for each run, at the steps of both. */
function comparedCharts(runs) {
  const labels = [...new Set(runs.flatMap((run) => run.chart.series.map((series) => series.label)))];
  return labels.map((title) => {
    const found = runs.map((run) => {
      const values = run.chart.series.find((series) => series.label === title)?.values ?? [];
      return new Map(values.map((value, index) => [run.chart.steps[index], value]));
    });
    const steps = [...new Set(found.flatMap((values) => [...values.keys()]))].sort((a, b) => a - b);
    const series = runs.map((run, number) => ({ label: run.name, values: steps.map((step) => found[number].get(step) ?? null) }));
    return { title, steps, series, logarithmic: false };
  });
}

filter.addEventListener("input", applyFilter);
offerConditions();
for (const button of document.querySelectorAll("#runs thead button")) button.addEventListener("click", () => sortBy(button));
for (const row of rows) row.querySelector("input").addEventListener("change", () => choose(row));
document.getElementById("close-comparison").addEventListener("click", () => {
  const boxes = chosen.splice(0).map((row) => row.querySelector("input"));
  for (const box of boxes) box.checked = false;
  showComparison();
  boxes.at(-1).focus();
});
