// Charts by plotly, which is loaded when the first chart comes near the window.
"use strict";
const charts = (() => {
  // Without grey, which is that of lines that are the same for all evaluators.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#6a3d9a"];
  const DASHES = ["solid", "dot", "dash", "dashdot", "longdash", "longdashdot"];
  const SYMBOLS = ["circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "pentagon", "hexagram", "star", "hourglass", "bowtie"];
  const FEW = 4;  // evaluators; the bands of more would cover each other, and their lines need a shorter legend
  const OPTIONS = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
  // Names of lines that are the same for all evaluators.
  const SHARED = new Set(["random", "optimal", "retrained", "full", "untrained", "train_loss", "test_loss"]);
  const WORDS = {
    recall: "lowest values first", optimal: "noisy players first", random: "in random order", remove_high: "most valuable first", remove_low: "least valuable first",
    add_high: "most valuable first", add_low: "least valuable first", exact: "exact Shapley value", without: "utility without the player",
    unlearned: "unlearned model", retrained: "retrained model", full: "full model", untrained: "untrained model", train_loss: "training data", test_loss: "test data",
    unlearning_forget: "forget set", unlearning_retain: "retain set", unlearning_test: "test set",
  };
  const words = (name) => WORDS[name] || name.replaceAll("_", " ");
  const drawn = new Map();
  let loading = null;

  function load() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${document.body.dataset.root}assets/plotly.js`;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly did not load"));
      document.head.append(script);
    });
    return loading;
  }

  function layout(more) {
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    const { xaxis = {}, yaxis = {}, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 12 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      margin: { l: 50, r: 12, t: 46, b: 44 }, showlegend: false, hovermode: "closest",
      ...rest, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis },
    };
  }

  // Draw into an element as soon as it comes near the window, or at once if it was drawn before with other data.
  function show(element, make) {
    drawn.set(element, make);
    if (element.dataset.seen) return void paint(element);
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      element.dataset.seen = "yes";
      paint(element);
    }, { rootMargin: "300px" }).observe(element);
  }

  async function paint(element) {
    try {
      const plotly = await load();
      const { traces, ...more } = drawn.get(element)();
      if (more.legend?.yref === "container") more.height = heightWithLegend(element, traces);
      await plotly.react(element, traces, layout(more), OPTIONS);
      element.dataset.drawn = "yes";
    } catch (error) {
      element.textContent = `This chart could not be drawn: ${error.message}.`;
    }
  }

  // A legend below the chart takes rows of its own, so that many names leave the lines as high as few do. Sizes are in pixels.
  function heightWithLegend(element, traces) {
    const names = traces.filter(({ name, showlegend }) => name && showlegend !== false).map(({ name }) => name.length);
    const columns = Math.max(1, Math.floor((element.clientWidth - 60) / (45 + 6 * Math.max(...names, 1)))), rows = Math.ceil(names.length / columns);
    return parseFloat(getComputedStyle(element).minHeight) + 17 * Math.max(rows - 3, 0);
  }

  // The look of a line or of points. `colour` counts colours, whose rounds differ by a symbol; `form`, one of `forms`, is
  // shown by the dashes of a line or the symbol of points.
  function look(colour, form, forms, points, grey = false) {
    const color = grey ? "#888" : COLOURS[colour % COLOURS.length], round = Math.floor(colour / COLOURS.length);
    const symbol = points ? form + forms * round : round - 1 + 10 * Math.floor(form / DASHES.length);
    return {
      mode: points ? "markers" : symbol < 0 ? "lines" : "lines+markers",
      line: { color, width: grey ? 1.5 : 2, dash: DASHES[form % DASHES.length] },
      marker: { color, size: 6, symbol: SYMBOLS[Math.max(symbol, 0) % SYMBOLS.length] + (symbol < SYMBOLS.length ? "" : "-open") },
    };
  }

  // The area between the lowest and the highest seed of a line.
  function band(chart, name, color) {
    const [low, high] = chart.bands[name];
    return {
      x: [...chart.x, ...[...chart.x].reverse()], y: [...high, ...[...low].reverse()], fill: "toself", fillcolor: color, opacity: 0.15,
      mode: "none", hoverinfo: "skip", showlegend: false,
    };
  }

  // What the y axis shows of lines with these names.
  function yLabel(names, axis) {
    if (axis.startsWith("log10")) return "density";
    if (names.includes("recall")) return "fraction of noisy players found";
    if (names.some((name) => name.startsWith("margin_"))) return "lead of the most valuable over the least valuable";
    if (names.some((name) => /loss|^unlearning_/.test(name))) return "loss";
    if (names.some((name) => /^((remove|add)_|unlearned$|without$)/.test(name))) return "test utility";
    if (names.some((name) => name.endsWith("_forget"))) return "utility on the player's own points";
    if (names.includes("predicted")) return "error of the value";
    if (names.includes("accuracy")) return "accuracy, or share of points";
    return names.length === 1 ? words(names[0]) : "value";
  }

  // Places in ascending order, from 1 on: values of different evaluators have different units.
  function places(values) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]), placed = [];
    order.forEach((i, place) => { placed[i] = place + 1; });
    return placed;
  }

  // Curves of several evaluators in one chart. One evaluator has a colour for each line, several have one each, which is
  // that of their place among all that are compared.
  function overlay(title, axis, curves, compared = curves.map(({ evaluator }) => evaluator)) {
    const names = [...new Set(curves.flatMap(({ chart }) => Object.keys(chart.lines)))];
    const own = names.filter((name) => !SHARED.has(name)), several = compared.length > 1, points = curves.some(({ chart }) => chart.points);
    const traces = [], counts = [...new Set(curves.map(({ chart }) => chart.seeds))];
    const seeds = (count) => `${count} ${count === 1 ? "seed" : "seeds"}`;
    const shared = names.filter((name) => SHARED.has(name)), short = own.length > 1 && compared.length > FEW;
    for (const [number, name] of shared.entries()) {
      const { chart } = curves.find(({ chart }) => name in chart.lines);
      traces.push({ name: words(name), x: chart.x, y: chart.lines[name], ...look(0, number, shared.length, points, true) });
    }
    curves.forEach(({ evaluator, chart }) => {
      const position = compared.indexOf(evaluator);
      own.forEach((name, number) => {
        if (!(name in chart.lines)) return;
        const label = [several ? evaluator : "", own.length > 1 || !several ? words(name) : "", counts.length > 1 ? seeds(chart.seeds) : ""];
        const x = several && points ? places(chart.x) : chart.x;
        const style = several ? look(position, number, own.length, points) : look(number, 0, 1, points);
        if (chart.bands?.[name] && !points && compared.length <= FEW) traces.push(band(chart, name, style.line.color));
        traces.push({ name: label.filter(Boolean).join(", "), x, y: chart.lines[name], ...style, showlegend: !short });
      });
    });
    if (short) {
      // One entry for each evaluator, which has a colour, and one for each kind of line, in place of one for every pair.
      const entry = (name, style) => traces.push({ name, x: [null], y: [null], ...style });
      for (const { evaluator } of curves) entry(evaluator, look(compared.indexOf(evaluator), 0, own.length, points));
      const color = getComputedStyle(document.body).color;
      own.forEach((name, number) => { const style = look(0, number, own.length, points); entry(words(name), { ...style, line: { ...style.line, color }, marker: { ...style.marker, color } }); });
    }
    const label = yLabel(own.length ? own : names, axis);
    if (several && points) axis = `place by ${axis}, lowest first`;
    title += counts.length === 1 ? ` (${seeds(counts[0])})` : "";
    const yaxis = { title: { text: label, font: { size: 11 } } }, untrained = traces.find(({ name }) => name === WORDS.untrained);
    if (untrained && axis.startsWith("log10")) {
      // All losses of an untrained model are nearly the same: its peak would flatten the lines that are compared.
      const top = 1.1 * Math.max(...traces.filter((trace) => trace !== untrained).flatMap(({ y }) => y)), peak = Math.max(...untrained.y);
      if (peak > top) [yaxis.range, untrained.name] = [[0, top], `${untrained.name}, cut off: its peak is ${peak.toPrecision(2)}`];
    }
    return {
      traces, title: { text: title.replaceAll("_", " "), font: { size: 13 }, x: 0.02, xanchor: "left" }, showlegend: true,
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", font: { size: 10 } }, xaxis: { title: { text: axis, font: { size: 11 } } }, yaxis,
    };
  }

  // Seconds of training over those of unlearning, by size, with a line where both are equal.
  function speed(lines) {
    const ends = [Math.min, Math.max].map((of) => of(...lines.flatMap(({ points }) => points)));
    const style = (line, i) => {
      if (line.points.length > 1) return { ...look(i, 0, 1, false), mode: "lines+markers" };
      const color = COLOURS[lines.findIndex(({ dataset }) => dataset === line.dataset) % COLOURS.length];
      return { mode: "markers", marker: { symbol: "star", size: 11, color } };
    };
    return {
      traces: [
        { name: "equal", x: ends, y: [1, 1], mode: "lines", line: { color: "#888", width: 1, dash: "dot" }, hoverinfo: "skip" },
        ...lines.map((line, i) => ({ name: line.name, x: line.points, y: line.ratios, ...style(line, i), hovertemplate: "%{x:,} points: %{y}<extra>%{fullData.name}</extra>" })),
      ],
      showlegend: true, legend: { orientation: "h", y: -0.2, font: { size: 11 } }, margin: { l: 52, r: 20, t: 16, b: 50 },
      xaxis: { type: "log", dtick: 1, title: { text: "points" } }, yaxis: { type: "log", dtick: 1, title: { text: "seconds to train / seconds to unlearn" } },
    };
  }

  // Points of mean ranks over seconds: those that no other one beats in both are labelled, and the others are grey.
  function qualityAndCost(all, element, seconds) {
    const points = all.filter(({ seconds }) => seconds > 0);
    const front = [...points].sort((a, b) => a.seconds - b.seconds || a.y - b.y).filter((each, i, sorted) => sorted.slice(0, i).every((other) => other.y > each.y));
    const rest = points.filter((each) => !front.includes(each));
    const line = { x: front.map(({ seconds }) => seconds), y: front.map(({ y }) => y) };
    const hover = (list) => ({ text: list.map(({ name }) => name), customdata: list.map(({ seconds }) => seconds.toPrecision(3)), hovertemplate: "%{text}<br>mean rank %{y:.2f}, %{customdata} s<extra></extra>" });
    const ranks = points.map(({ y }) => y), logs = points.map(({ seconds }) => Math.log10(seconds));
    const ends = (list, below, above) => {
      const span = Math.max(...list) - Math.min(...list) || 1;
      return [Math.min(...list) - below * span, Math.max(...list) + above * span];
    };
    const x = ends(logs, 0.08, 0.12), y = ends(ranks, 0.12, 0.08);
    // Margins do not grow with the text, so that the places of labels are known before the chart is drawn.
    const margin = { l: 52, r: 20, t: 24, b: 50 }, frame = { width: element.clientWidth - margin.l - margin.r, height: element.clientHeight - margin.t - margin.b };
    return {
      traces: [
        { ...line, mode: "lines", line: { color: COLOURS[1], width: 1, dash: "dot" }, hoverinfo: "skip" },
        { x: rest.map(({ seconds }) => seconds), y: rest.map((each) => each.y), mode: "markers", marker: { size: 8, color: "#999" }, ...hover(rest) },
        { ...line, mode: "markers", marker: { size: 10, color: COLOURS[1] }, ...hover(front) },
      ],
      annotations: labels(front, points, x, y, frame),
      margin, width: element.clientWidth, height: element.clientHeight,
      xaxis: { type: "log", range: x, automargin: false, title: { text: seconds } }, yaxis: { range: [y[1], y[0]], automargin: false, title: { text: "mean rank (1 is best)" } },
    };
  }

  // Places labels where they cover neither points nor the line of the front nor each other, nearest places first; all sizes are in pixels. A label
  // for which there is no such place is left out: the name is shown when the point is pointed at.
  function labels(front, points, x, y, frame) {
    const at = (each) => [((Math.log10(each.seconds) - x[0]) / (x[1] - x[0])) * frame.width, ((each.y - y[0]) / (y[1] - y[0])) * frame.height];
    const taken = points.map((each) => { const [left, top] = at(each); return [left - 6, top - 6, left + 6, top + 6]; });
    front.map(at).forEach(([left, top], i, list) => {
      const [nextLeft, nextTop] = list[i + 1] || [left, top], steps = Math.ceil(Math.hypot(nextLeft - left, nextTop - top) / 8);
      for (let step = 0; step < steps; step++) {
        const share = step / steps, x = left + share * (nextLeft - left), y = top + share * (nextTop - top);
        taken.push([x - 2, y - 2, x + 2, y + 2]);
      }
    });
    const context = document.createElement("canvas").getContext("2d");
    context.font = "11px system-ui, sans-serif";
    const places = [];
    for (let far = 16; far <= 240; far += 8) for (const turn of [6, 5, 7, 4, 8, 3, 1, 2]) places.push([Math.cos((turn * Math.PI) / 4) * far, Math.sin((turn * Math.PI) / 4) * far]);
    return front.flatMap((each) => {
      const [left, top] = at(each), width = context.measureText(each.name).width + 8;
      const box = ([dx, dy]) => {
        const centre = left + dx + (Math.abs(dx) < 1 ? 0 : (Math.sign(dx) * width) / 2);
        const inside = Math.min(Math.max(centre, width / 2), frame.width - width / 2);
        return [inside - width / 2, top + dy - 9, inside + width / 2, top + dy + 9];
      };
      const free = (b) => b[1] >= 0 && b[3] <= frame.height && taken.every((t) => b[2] <= t[0] || t[2] <= b[0] || b[3] <= t[1] || t[3] <= b[1]);
      const chosen = places.map(box).find(free);
      if (!chosen) return [];
      taken.push(chosen);
      return [{
        x: Math.log10(each.seconds), y: each.y, text: each.name, font: { size: 11 }, ax: (chosen[0] + chosen[2]) / 2 - left, ay: (chosen[1] + chosen[3]) / 2 - top,
        showarrow: true, arrowhead: 0, arrowwidth: 0.6, arrowcolor: "#999", standoff: 5, captureevents: false,
      }];
    });
  }

  const repaint = () => { for (const element of drawn.keys()) if (element.dataset.drawn) paint(element); };
  let resized = 0;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(repaint, 200); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  return { show, overlay, speed, qualityAndCost, COLOURS };
})();
