"use strict";
/* Line charts that share their range and axis. Text of runs goes through textContent only. */

const LIGHT = ["#0072b2", "#d55e00", "#00865f", "#b0508e", "#9a6b00", "#2f8fc4", "#5b5b5b"];
const DARK = ["#56b4e9", "#f0904d", "#2cc79a", "#e29ac6", "#e6b545", "#8fd0f5", "#c4c4c4"];
const AXES = { step: "steps", images: "images", seconds: "training time" };
const SMOOTHED_POINTS = 15;
const darkScheme = window.matchMedia("(prefers-color-scheme: dark)");

function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

function styleValue(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function color(index) {
  const colors = darkScheme.matches ? DARK : LIGHT;
  return colors[index % colors.length];
}

function formatNumber(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

function formatSeconds(value) {
  const seconds = Math.round(value);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours, minutes, rest] = parts;
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/* The value of `to` at each of `xs`, by linear interpolation of the points (from, to), continued at both ends. */
function convert(xs, from, to) {
  if (from.length < 2) return xs.map((x) => (from.length ? (x / (from[0] || 1)) * to[0] : x));
  return xs.map((x) => {
    let high = from.findIndex((point) => point >= x);
    if (high < 0) high = from.length - 1;
    if (high === 0) high = 1;
    const [a, b] = [from[high - 1], from[high]];
    return to[high - 1] + (b > a ? (x - a) / (b - a) : 0) * (to[high] - to[high - 1]);
  });
}

function smoothed(values) {
  const half = (SMOOTHED_POINTS - 1) / 2;
  return values.map((value, index) => {
    if (value === null) return null;
    const known = values.slice(Math.max(0, index - half), index + half + 1).filter((other) => other !== null);
    return known.reduce((sum, other) => sum + other, 0) / known.length;
  });
}

/* One chart: `{title, steps, series: [{label, values}], logarithmic}`, with a button for each curve. */
class Chart {
  constructor(group, spec) {
    this.group = group;
    this.spec = spec;
    this.hidden = new Set();
    this.place = element("div", { className: "plot" });
    this.place.setAttribute("role", "img");
    const curves = spec.series.map((series) => series.label).join(", ");
    this.description = `Chart: ${spec.title}${curves === spec.title ? "" : ` (${curves})`}`;
    this.legend = element("div", { className: "legend" });
    this.root = element("div", { className: "chart" }, element("h3", { textContent: spec.title }), this.place, this.legend);
    this.values = spec.series.map((series, index) => this.addButton(series, index));
  }

  addButton(series, index) {
    const swatch = element("span", { className: "swatch" });
    const value = element("span", { className: "value" });
    const button = element("button", { type: "button" }, swatch, element("span", { textContent: series.label }), value);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = this.hidden.delete(index) || !this.hidden.add(index);
      button.setAttribute("aria-pressed", String(shown));
      this.plot.setSeries(index + 1, { show: shown });
    });
    this.legend.append(button);
    return { swatch, value };
  }

  showValues(position) {
    this.spec.series.forEach((series, index) => {
      const known = series.values.filter((value) => value !== null);
      const value = position === null ? known[known.length - 1] : series.values[position];
      this.values[index].value.textContent = formatNumber(value);
      this.values[index].swatch.style.background = color(index);
    });
  }

  draw() {
    if (this.plot) this.plot.destroy();
    const { spec, group } = this;
    const [first, last] = group.range().map((position) => group.formatPosition(position));
    this.place.setAttribute("aria-label", `${this.description}, ${AXES[group.axis]} ${first} to ${last}`);
    const xs = group.positionsOf(spec.steps);
    const positive = spec.series.every((series) => series.values.every((value) => value === null || value > 0));
    const curves = spec.series.map((series) => (group.smooth ? smoothed(series.values) : series.values));
    const axis = { stroke: styleValue("--quiet"), grid: { stroke: styleValue("--line"), width: 1 }, ticks: { show: false } };
    const points = xs.length <= 40;
    this.plot = new uPlot(
      {
        width: Math.max(this.root.clientWidth, 260),
        height: 230,
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { time: false, range: () => group.range() },
          y: { distr: spec.logarithmic && positive ? 3 : 1 },
        },
        axes: [
          { ...axis, values: (plot, splits) => splits.map((split) => group.formatPosition(split)), space: 70 },
          { ...axis, values: (plot, splits) => splits.map((split) => (split === null ? "" : formatNumber(split))), size: 62 },
        ],
        series: [
          {},
          ...spec.series.map((series, index) => ({
            label: series.label,
            stroke: color(index),
            width: 1.6,
            spanGaps: true,
            points: { show: points, size: 5 },
            show: !this.hidden.has(index),
          })),
        ],
        hooks: {
          setCursor: [(plot) => this.showValues(plot.cursor.idx ?? null)],
          setSelect: [(plot) => group.select(plot)],
          draw: [(plot) => group.drawFindings(plot)],
        },
      },
      [xs, ...curves],
      this.place,
    );
    this.showValues(null);
  }
}

/* All charts of a page: they have the same axis and show the same range of it. */
class ChartGroup {
  constructor(holder, specs, { positions, findings = [] }) {
    this.positions = positions;
    this.findings = findings;
    this.axis = "step";
    this.smooth = false;
    this.zoomed = null;
    this.charts = specs.map((spec) => new Chart(this, spec));
    holder.replaceChildren(...this.charts.map((chart) => chart.root));
    const ends = specs.flatMap((spec) => [spec.steps[0], spec.steps[spec.steps.length - 1]]).filter((step) => step !== undefined);
    this.steps = [Math.min(0, ...ends), Math.max(1, ...ends)];
    this.draw();
    let width = 0;
    new ResizeObserver(() => {
      if (holder.clientWidth !== width) this.draw();
      width = holder.clientWidth;
    }).observe(holder);
    darkScheme.addEventListener("change", () => this.draw());
  }

  draw() {
    for (const chart of this.charts) chart.draw();
  }

  positionsOf(steps) {
    return this.axis === "step" ? steps : convert(steps, this.positions.step, this.positions[this.axis]);
  }

  formatPosition(value) {
    if (value === null) return "";
    return this.axis === "seconds" ? formatSeconds(value) : value.toLocaleString("en-US");
  }

  range() {
    return this.positionsOf(this.zoomed ?? this.steps);
  }

  setAxis(axis) {
    this.axis = axis;
    this.draw();
  }

  setSmooth(smooth) {
    this.smooth = smooth;
    this.draw();
  }

  select(plot) {
    if (plot.select.width < 4) return;
    const ends = [plot.select.left, plot.select.left + plot.select.width].map((pixel) => plot.posToVal(pixel, "x"));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.show(this.axis === "step" ? ends : convert(ends, this.positions[this.axis], this.positions.step));
  }

  zoom(how) {
    const [low, high] = this.zoomed ?? this.steps;
    const width = high - low;
    const moves = { in: [0.25, -0.25], out: [-0.5, 0.5], left: [-0.5, -0.5], right: [0.5, 0.5] };
    if (how === "all") this.show(null);
    else this.show([low + moves[how][0] * width, high + moves[how][1] * width]);
  }

  show(range) {
    if (range) {
      const [first, last] = this.steps;
      const width = Math.min(Math.max(range[1] - range[0], (last - first) / 1e4), last - first);
      const low = Math.min(Math.max(range[0], first), last - width);
      range = width < last - first ? [low, low + width] : null;
    }
    this.zoomed = range;
    this.draw();
  }

  drawFindings(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = styleValue("--warning");
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const finding of this.findings) {
      const [position] = this.positionsOf([finding.first]);
      const x = plot.valToPos(position, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(String(finding.number), x + 3 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
    }
    ctx.restore();
  }
}
