// Plots of columns of numbers. A figure says where its numbers are: data-plot="ADDRESS#NAME", or "ADDRESS" for one alone.
// Figures of one address share its answer, which is asked for again every 10 s while somebody looks.
"use strict";

const EVERY_MS = 10_000;
const HEIGHT = 180;

class Figure {
  constructor(element) {
    this.element = element;
    [this.address, this.name] = element.dataset.plot.split("#");
    this.place = document.createElement("div");
    this.state = document.createElement("p");
    this.state.className = "muted";
    this.state.textContent = "Loading";
    this.place.setAttribute("aria-hidden", "true");
    this.details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "As numbers";
    this.details.append(summary);
    this.details.addEventListener("toggle", () => this.tell());
    element.append(this.state, this.place, this.details);
    new ResizeObserver(() => this.fit()).observe(element);
  }

  // Nothing is drawn of what was never told; what was stays, and is said to be of then.
  fail(why) {
    this.state.textContent = this.plot ? `${why}; this is of ${clock(this.toldS)}` : `${why}; it is tried again`;
  }

  show(answer) {
    const plot = this.name ? answer[this.name] : answer;
    if (!plot) return;
    this.toldS = Date.now() / 1000;
    this.state.textContent = "";
    const isSame = this.plot && shape(this.plot) === shape(plot);
    this.plot = plot;
    if (isSame) this.chart.setData(this.columns());
    else this.draw();
    this.tell();
  }

  // Bars are drawn from the top of all of them down, each over the one before.
  columns() {
    const values = this.plot.series.map((each) => each.values);
    if (!this.plot.bars) return [this.plot.x, ...values];
    return [this.plot.x, ...values.map((_, from) => this.plot.x.map((__, at) => (
      values.slice(from).reduce((sum, each) => sum + each[at], 0)
    )))];
  }

  draw() {
    this.chart?.destroy();
    const line = colour(this.element, "plot-line");
    const axis = { stroke: colour(this.element, "plot-text"), grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const drawn = this.plot.bars ? bars : lines;
    this.element.classList.toggle("bars", Boolean(this.plot.bars));
    const series = this.plot.series.map((each, number) => ({
      label: each.name,
      value: (_, __, ___, at) => this.written(each.values[at]),
      ...drawn.series(colour(this.element, `plot-${number + 1}`)),
    }));
    const options = {
      width: this.width(),
      height: HEIGHT,
      tzDate: drawn.date,
      series: [{ label: drawn.of, value: (_, x) => (x === null ? "" : drawn.moment(x)) }, ...series],
      axes: [
        { ...axis, ...drawn.axis, values: (_, xs) => xs.map(drawn.moment) },
        { ...axis, size: 56, values: (_, ys) => ys.map(short) },
      ],
      scales: { x: drawn.scale(this.plot.x), y: { range: (_, low, high) => [0, (high || 1) * 1.1] } },
      legend: { live: true },
    };
    this.chart = new uPlot(options, this.columns(), this.place);
  }

  written(value) {
    return value === null || value === undefined ? "" : `${exact.format(value)} ${this.plot.unit}`;
  }

  width() {
    const style = getComputedStyle(this.element);
    return Math.max(120, this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  }

  fit() {
    if (this.chart && this.chart.width !== this.width()) this.chart.setSize({ width: this.width(), height: HEIGHT });
  }

  // Where the table is, which stays so that it keeps its place.
  frame() {
    const known = this.details.querySelector(".table");
    if (known) return known;
    const made = document.createElement("div");
    made.className = "table";
    made.tabIndex = 0;
    this.details.append(made);
    return made;
  }

  // The same numbers as a table, for who does not see the lines.
  tell() {
    if (!this.details.open || !this.plot) return;
    const table = document.createElement("table");
    const drawn = this.plot.bars ? bars : lines;
    row(table.createTHead(), "th", [drawn.of, ...this.plot.series.map((each) => `${each.name} (${this.plot.unit})`)]);
    const body = table.createTBody();
    this.plot.x.forEach((x, at) => row(body, "td", [drawn.moment(x), ...this.plot.series.map((each) => each.values[at] ?? "")]));
    this.frame().replaceChildren(table);
  }
}

// What has to be the same where other numbers alone are to be shown.
function shape({ series, bars: areBars, x }) {
  return JSON.stringify([series.map((each) => each.name), areBars ? x : null]);
}

function row(part, tag, texts) {
  const added = part.insertRow();
  for (const text of texts) {
    const cell = document.createElement(tag);
    cell.textContent = text;
    added.append(cell);
  }
}

// What the style sheet says of a class, for what is drawn on a canvas.
function colour(element, name) {
  const probe = document.createElement("span");
  probe.className = name;
  element.append(probe);
  const told = getComputedStyle(probe).color;
  probe.remove();
  return told;
}

const DAY_S = 86_400;

// How values over time are drawn: as lines through the moments of an hour, or as bars of days, one on top of the other.
const lines = {
  of: "Time",
  moment: (x) => clock(x),
  date: (seconds) => new Date(1000 * seconds),
  axis: {},
  scale: () => ({}),
  series: (stroke) => ({ stroke, width: 2, points: { show: true, size: 4 } }),
};
const bars = {
  of: "Day",
  moment: (x) => days.format(new Date(1000 * x)),
  date: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"),
  axis: { incrs: [1, 2, 7, 14, 28, 56, 112, 365].map((each) => each * DAY_S) },
  scale: (x) => {
    const half = (x.length > 1 ? x[1] - x[0] : DAY_S) / 2;
    return { range: () => [x[0] - half, x.at(-1) + half] };
  },
  series: (fill) => ({ fill, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 48] }) }),
};

const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
const exact = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 });
const clock = (seconds) => minutes.format(new Date(1000 * seconds));
const short = (number) => compact.format(number);

class Source {
  constructor(address, figures) {
    this.address = address;
    this.figures = figures;
    this.load();
    setInterval(() => { if (!document.hidden) this.load(); }, EVERY_MS);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.load(); });
  }

  fail(why) {
    for (const figure of this.figures) figure.fail(why);
  }

  async load() {
    let answer;
    try {
      answer = await fetch(this.address);
    } catch {
      this.fail("The server cannot be reached");
      return;
    }
    if (!answer.ok) {
      this.fail("This cannot be told now");
      return;
    }
    const told = await answer.json();
    for (const figure of this.figures) figure.show(told);
  }
}

const figures = [...document.querySelectorAll("figure[data-plot]")].map((element) => new Figure(element));
for (const [address, shared] of Map.groupBy(figures, (each) => each.address)) new Source(address, shared);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const figure of figures) if (figure.plot) figure.draw();
});
