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
    this.place.setAttribute("aria-hidden", "true");
    this.details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "As numbers";
    this.details.append(summary);
    this.details.addEventListener("toggle", () => this.tell());
    element.append(this.place, this.details);
    new ResizeObserver(() => this.fit()).observe(element);
  }

  show(answer) {
    const plot = this.name ? answer[this.name] : answer;
    const isSame = this.plot && this.plot.series.length === plot.series.length;
    this.plot = plot;
    if (isSame) this.chart.setData(this.columns());
    else this.draw();
    this.tell();
  }

  columns() {
    return [this.plot.x, ...this.plot.series.map((each) => each.values)];
  }

  draw() {
    this.chart?.destroy();
    const line = colour(this.element, "plot-line");
    const axis = { stroke: colour(this.element, "plot-text"), grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const series = this.plot.series.map((each, number) => ({
      label: each.name,
      stroke: colour(this.element, `plot-${number + 1}`),
      width: 2,
      points: { show: true, size: 4 },
      value: (_, value) => (value === null || value === undefined ? "" : this.written(value)),
    }));
    const options = {
      width: this.width(),
      height: HEIGHT,
      series: [{ value: (_, x) => (x === null ? "" : clock(x)) }, ...series],
      axes: [{ ...axis, values: (_, xs) => xs.map(clock) }, { ...axis, size: 56, values: (_, ys) => ys.map(short) }],
      scales: { y: { range: (_, low, high) => [0, (high || 1) * 1.1] } },
      legend: { live: true },
    };
    this.chart = new uPlot(options, this.columns(), this.place);
  }

  written(value) {
    return `${value.toLocaleString()} ${this.plot.unit}`;
  }

  width() {
    const style = getComputedStyle(this.element);
    return Math.max(120, this.element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  }

  fit() {
    if (this.chart && this.chart.width !== this.width()) this.chart.setSize({ width: this.width(), height: HEIGHT });
  }

  // The same numbers as a table, for who does not see the lines.
  tell() {
    if (!this.details.open || !this.plot) return;
    const table = document.createElement("table");
    row(table.createTHead(), "th", ["Time", ...this.plot.series.map((each) => `${each.name} (${this.plot.unit})`)]);
    const body = table.createTBody();
    this.plot.x.forEach((x, at) => row(body, "td", [clock(x), ...this.plot.series.map((each) => each.values[at] ?? "")]));
    const frame = document.createElement("div");
    frame.className = "table";
    frame.tabIndex = 0;
    frame.append(table);
    this.details.querySelector(".table")?.remove();
    this.details.append(frame);
  }
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

const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });
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

  async load() {
    let answer;
    try {
      answer = await fetch(this.address);
    } catch {
      return; // other parts of the page tell that the server cannot be reached
    }
    if (!answer.ok) return;
    const told = await answer.json();
    for (const figure of this.figures) figure.show(told);
  }
}

const figures = [...document.querySelectorAll("figure[data-plot]")].map((element) => new Figure(element));
for (const [address, shared] of Map.groupBy(figures, (each) => each.address)) new Source(address, shared);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const figure of figures) if (figure.plot) figure.draw();
});
