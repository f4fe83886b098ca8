"use strict";
// Draws the page from the data beside it. What is shown follows from the filters; nothing is fetched, and names from reports
// are set as text only, never as HTML.
const { reports, charts } = JSON.parse(document.getElementById("data").textContent);
const ROWS_AT_ONCE = 50;
const element = (id) => document.getElementById(id);
const state = { sort: null, descending: false, shown: ROWS_AT_ONCE, views: [] };

const decimals = (digits) => (value) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const COLUMNS = [
  { title: "layer", text: (row) => `${row.set}/${row.layer}` },
  { title: "dictionary", text: (row) => (row.kind === "conv2d" ? "" : row.dictionary) },
  { title: "batch", field: "batch", format: decimals(0) },
  { title: "precision", text: (row) => row.precision },
  { title: "variant", text: (row) => row.variant },
  { title: "layout", text: (row) => row.layout },
  { title: "us", field: "median_us", format: decimals(1) },
  { title: "speed-up", field: "speedup", format: (value) => `${decimals(2)(value)}x` },
  { title: "peak MB", field: "peak_bytes", format: (value) => decimals(2)(value / 1e6) },
  { title: "memory", field: "memory_ratio", format: (value) => `${decimals(2)(value)}x` },
  { title: "roofline", field: "roofline", format: (value) => `${decimals(value < 0.1 ? 1 : 0)(100 * value)}%` },
  { title: "rel_err", field: "rel_err", format: (value) => value.toExponential(1) },
  { title: "prepare ms", field: "prepare_ms", format: decimals(1) },
  { title: "note", text: (row) => (row.disposition === "measured" ? row.choice || "" : `${row.disposition}: ${row.reason}`) },
];

function make(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const layerOf = (row) => `${row.set}/${row.layer} n${row.batch}`;

// For axes: what tells rows apart comes first, as a phone shows the beginning only.
function axisLabel(row, first, more) {
  const dictionary = row.kind === "conv2d" ? "" : ` ${row.dictionary}`;
  return `${first} ${row.layer} n${row.batch}${more}${dictionary} ${row.set}`;
}

for (const report of reports) {
  for (const row of report.rows) {
    row.place = axisLabel(row, row.precision, "");
    row.place_and_variant = axisLabel(row, row.variant, ` ${row.precision}`);
    row.not_conv2d = row.kind === "conv2d" ? null : true;
  }
}

const currentReport = () => reports[Number(element("report").value)];

function passes(row) {
  const layer = element("layer").value, precision = element("precision").value;
  return (!layer || layerOf(row) === layer) && (!precision || row.precision === precision) &&
    row.name.toLowerCase().includes(element("search").value.trim().toLowerCase());
}

// The chosen rows of all reports of the current one's machine, each against its own first time.
function historyRows() {
  const current = currentReport(), mark = element("mark").value;
  const wanted = new Set(current.rows.filter((row) => passes(row) && (!mark || row[mark])).map((row) => row.name));
  const first = new Map(), found = [];
  const ofMachine = reports.filter((report) => report.machine === current.machine);
  if (ofMachine.length < 2) return [];
  for (const report of ofMachine) {
    const run = `${report.commit.slice(0, 8)} ${report.date.slice(5, 16).replace("T", " ")}`;
    for (const row of report.rows) {
      if (row.median_us === null || !wanted.has(row.name)) continue;
      if (!first.has(row.name)) first.set(row.name, row.median_us);
      found.push({ ...row, run, relative: row.median_us / first.get(row.name) });
    }
  }
  return found;
}

function chartRows(chart, rows) {
  const mark = chart.only || element("mark").value;
  return rows.filter((row) => (!mark || row[mark]) && chart.needs.every((field) => row[field] !== null));
}

// The theme and the width decide how a chart looks, the specification what it shows.
function chartConfig(narrow) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const text = colour("text"), quiet = colour("quiet"), line = colour("line");
  return {
    background: null,
    font: "system-ui, sans-serif",
    axis: { labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line, labelFontSize: narrow ? 10 : 11,
      titleFontSize: 12, titleFontWeight: "normal", gridOpacity: 0.6, labelLimit: narrow ? 160 : 280 },
    legend: { labelColor: text, labelFontSize: 12, orient: "bottom", direction: "horizontal",
      labelLimit: narrow ? 110 : 200 },
    view: { stroke: line },
    text: { color: quiet, fontSize: 11 },
    rule: { color: text },
    line: { color: quiet },
  };
}

// The chart as wide as its place, with the axes inside. Long labels leave the legend little room on a phone.
function sized(chart, plot, narrow, shown, roofs) {
  const values = (field) => new Set(shown.map((row) => row[field])).size;
  const height = !chart.bars ? chart.spec.height
    : values(chart.bars) * chart.bar_height * (chart.bars_of_group ? values(chart.bars_of_group) + 1 : 1);
  return { ...chart.spec, datasets: { rows: shown, roofs, history: shown }, width: plot.clientWidth, height,
    autosize: { type: "fit-x", contains: "padding" }, config: { legend: { columns: !narrow ? 4 : chart.bars ? 1 : 2 } } };
}

async function drawCharts(rows) {
  const section = element("charts"), narrow = window.innerWidth < 700;
  const drawing = (state.drawing = {}); // a later call overtakes this one
  for (const view of state.views.splice(0)) view.finalize();
  section.replaceChildren();
  const history = historyRows();
  for (const chart of charts) {
    const shown = chart.id === "history" ? history : chartRows(chart, rows);
    if (shown.length === 0) continue;
    const figure = make("figure", "", { id: chart.id });
    const caption = make("figcaption", "");
    caption.append(make("h2", chart.title), make("p", chart.caption));
    const plot = make("div", "", { class: "plot", role: "img", "aria-label": chart.title });
    figure.append(caption, plot);
    if (chart.wide) figure.className = "wide";
    section.append(figure);
    const precisions = new Set(shown.map((row) => row.precision));
    const roofs = currentReport().roofs.filter((point) => precisions.has(point.precision));
    const result = await vegaEmbed(plot, sized(chart, plot, narrow, shown, roofs), {
      actions: false, ast: true, config: chartConfig(narrow), mode: "vega-lite", renderer: shown.length > 3000 ? "canvas" : "svg",
      tooltip: { theme: document.documentElement.dataset.theme },
    });
    if (state.drawing !== drawing) return result.finalize();
    state.views.push(result);
  }
  if (section.childElementCount === 0) section.append(make("p", "No measured row is chosen."));
}

function drawTable(rows) {
  const { sort, descending } = state, sorted = [...rows];
  if (sort !== null) {
    const column = COLUMNS[sort], value = (row) => (column.field ? row[column.field] : column.text(row));
    const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    sorted.sort((x, y) => {
      const a = value(x), b = value(y);
      if (a === null || b === null) return (a === null) - (b === null); // what has no value comes last
      return descending ? order(b, a) : order(a, b);
    });
  }
  const body = document.createDocumentFragment();
  for (const row of sorted.slice(0, state.shown)) {
    const failed = row.disposition === "error" || row.disposition === "incorrect";
    const line = make("tr", "", { class: failed ? "failed" : row.disposition, title: row.name });
    for (const column of COLUMNS) {
      const value = column.field ? row[column.field] : column.text(row);
      const text = !column.field ? value : value === null ? "" : column.format(value);
      line.append(make("td", text, { class: column.field ? "number" : column.title === "note" ? "note" : "" }));
    }
    body.append(line);
  }
  element("rows").tBodies[0].replaceChildren(body);
  const rest = sorted.length - state.shown;
  element("more").hidden = rest <= 0;
  element("more").textContent = `Show ${Math.min(ROWS_AT_ONCE, rest)} of ${rest} more rows`;
  element("rows").tHead.querySelectorAll("th").forEach((heading, index) => {
    heading.setAttribute("aria-sort", index !== sort ? "none" : descending ? "descending" : "ascending");
  });
}

function drawTotals(rows) {
  const counts = new Map();
  for (const row of rows) counts.set(row.disposition, (counts.get(row.disposition) || 0) + 1);
  const items = [...counts].map(([disposition, count]) =>
    make("li", `${count} ${disposition}`, { class: disposition === "error" || disposition === "incorrect" ? "bad" : "" }));
  element("totals").replaceChildren(make("li", `${rows.length} rows`), ...items);
}

function draw() {
  const rows = currentReport().rows.filter(passes);
  drawTotals(rows);
  drawTable(rows);
  return drawCharts(rows);
}

function fillSelect(id, all, values) {
  const before = element(id).value;
  element(id).replaceChildren(make("option", all, { value: "" }), ...values.map((value) => make("option", value, { value })));
  if (values.includes(before)) element(id).value = before;
}

function chooseReport() {
  const report = currentReport();
  element("origin").textContent = `${report.machine}, commit ${report.commit}, ${report.date} (${report.file})`;
  fillSelect("layer", "all", [...new Set(report.rows.map(layerOf))]);
  fillSelect("precision", "all", [...new Set(report.rows.map((row) => row.precision))]);
  element("context").tBodies[0].replaceChildren(...report.context.map(([path, text]) => {
    const line = make("tr", "");
    line.append(make("td", path), make("td", text));
    return line;
  }));
  return draw();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  element("theme").textContent = theme === "dark" ? "\u2600" : "\u263e";
}

// Tables that are in the page as they are: a number's exact value is in data-value, and what has none comes last.
function makeSortable(table) {
  table.querySelectorAll("th button").forEach((button, index) => {
    button.addEventListener("click", () => {
      const heading = button.parentElement, descending = heading.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const order = (a, b) => (a.dataset.value !== undefined && b.dataset.value !== undefined
        ? a.dataset.value - b.dataset.value
        : a.textContent.localeCompare(b.textContent, "en", { numeric: true }));
      const lines = [...table.tBodies[0].rows].sort((x, y) => {
        const a = x.cells[index], b = y.cells[index];
        if (!a.textContent || !b.textContent) return !a.textContent - !b.textContent;
        return descending ? order(b, a) : order(a, b);
      });
      table.tBodies[0].replaceChildren(...lines);
    });
  });
}

function start() {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  const names = reports.map((report) => `${report.machine}, ${report.commit}, ${report.date} (${report.file})`);
  element("report").replaceChildren(...names.map((name, index) => make("option", name, { value: index })).reverse());
  element("report").closest("label").hidden = reports.length === 1;
  const headings = make("tr", "");
  COLUMNS.forEach((column, index) => {
    const heading = make("th", "", { class: column.field ? "number" : "", scope: "col" });
    const button = make("button", column.title, { type: "button" });
    button.addEventListener("click", () => {
      state.descending = state.sort === index && !state.descending;
      state.sort = index;
      drawTable(currentReport().rows.filter(passes));
    });
    heading.append(button);
    headings.append(heading);
  });
  element("rows").tHead.append(headings);
  element("report").addEventListener("change", chooseReport);
  for (const id of ["layer", "precision", "mark"]) element(id).addEventListener("change", draw);
  let typing, resizing, width = window.innerWidth;
  element("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(draw, 250);
  });
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("more").addEventListener("click", () => {
    state.shown += ROWS_AT_ONCE;
    drawTable(currentReport().rows.filter(passes));
  });
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => (setTheme(dark.matches ? "dark" : "light"), draw()));
  setTheme(dark.matches ? "dark" : "light");
  element("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    draw();
  });
  window.addEventListener("resize", () => { // phones resize when their address bar hides: only the width matters
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      if (width !== (width = window.innerWidth)) draw();
    }, 250);
  });
  return chooseReport();
}

window.drawn = start();
