// Evaluators side by side: one table of their scores with intervals, and their curves in one chart for each task.
"use strict";
(() => {
  const { find, all, element, number, remember, view, copies, curvesOf, panel } = dvbench.tools;
  const TOP = 3;  // evaluators that are chosen at first
  const NARROW = 640;  // pixels, up to which a list of all evaluators would hide what they are chosen for

  dvbench.receive = (data) => {
    const form = find("#comparison"), problem = form.elements.problem, boxes = all("input[type=checkbox]", form);
    const positions = new Map(data.evaluators.map((evaluator, e) => [evaluator.name, e])), everyone = data.evaluators.map((_, e) => e);
    const overall = new Map(rankings.overall(data, data.columns, everyone).map((entry) => [entry.evaluator, entry]));
    problem.append(element("option", { value: "" }, "all problems"), ...data.problems.map(({ name }) => element("option", {}, name)));
    let latest = 0;

    function head(names) {
      const cells = names.map((name, i) => {
        const { mark, role } = data.evaluators[positions.get(name)];
        const swatch = element("i", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = charts.COLOURS[i % charts.COLOURS.length];
        const link = element("a", { href: `evaluators/${encodeURIComponent(name)}.html` }, name);
        return element("th", { scope: "col" }, element("span", { class: "named" }, swatch, link), element("small", {}, ...(role ? [`${role} `] : []), ...(mark ? [element("span", { class: `mark ${mark}` }, mark)] : [])));
      });
      return element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "task"), ...cells));
    }

    // Ranks and seconds are those of the whole suite, or of the chosen problem.
    function summary(names) {
      const row = (title, texts) => element("tr", { class: "whole" }, element("th", { scope: "row" }, title), ...texts.map((text) => element("td", {}, text)));
      const ranks = names.map((name) => {
        const entry = overall.get(positions.get(name));
        if (!entry?.interval) return "not ranked";
        const [low, high] = entry.interval;
        return `${low === high ? low : `${low}-${high}`} of ${overall.size}, tier ${entry.tier}`;
      });
      const seconds = names.map((name) => number(rankings.seconds(data, columns(), positions.get(name)), 2) || "–");
      return [row("rank in the suite", ranks), row(find("#side-by-side").dataset.seconds, seconds)];
    }

    const columns = () => data.columns.filter((column) => !problem.value || data.problems[column.problem].name === problem.value);

    function scores(names) {
      const tasks = [...new Set(columns().map(({ task }) => task))];
      return tasks.flatMap((task) => columns().filter((column) => column.task === task)).map((column) => {
        const seeds = names.map((name) => column.values.map((row) => row[positions.get(name)]));
        const known = seeds.map((values) => values.filter((v) => typeof v === "number"));
        // A mean over some of the seeds cannot be the best, and none is whose interval overlaps another one's; one seed has no interval.
        const ends = known.map((values) => (values.length > 1 ? rankings.interval(values, column.range, data.quantiles) ?? [rankings.mean(values), rankings.mean(values)] : null));
        const apart = (i, j) => ends[i] && ends[j] && (ends[i][1] < ends[j][0] || ends[j][1] < ends[i][0]);
        const whole = seeds.map((values, i) => values.length === known[i].length), means = known.map(rankings.mean);
        const complete = means.filter((v, i) => v !== null && whole[i]), best = column.up ? Math.max(...complete) : Math.min(...complete);
        const cells = names.map((_, i) => {
          const first = means[i] === best && whole[i] && names.length > 1 && names.every((_, j) => j === i || !known[j].length || apart(i, j));
          return element("td", first ? { class: "best" } : {}, ...shown(seeds[i], known[i], means[i], column, first));
        });
        const title = element("th", { scope: "row" }, `${column.task.replaceAll("_", " ")} `, element("small", {}, `${column.metric.replaceAll("_", " ")} ${column.up ? "↑" : "↓"}${problem.value ? "" : `, ${data.problems[column.problem].name}`}`));
        return element("tr", {}, title, ...cells);
      });
    }

    function shown(seeds, known, mean, column, first) {
      if (mean === null) return [seeds.includes("declined") ? "declined" : seeds.includes(null) ? element("span", { class: "alarm" }, "failed or missing") : "–"];
      const interval = rankings.interval(known, column.range, data.quantiles);
      const text = number(mean) + (interval ? ` [${interval.map((end) => number(end)).join(", ")}]` : "");
      const lacking = seeds.length - known.length;
      return [first ? element("strong", {}, text) : text, ...(lacking ? [" ", element("span", { class: "alarm" }, `${lacking} of ${seeds.length} seeds lacking`)] : [])];
    }

    async function overlay(names, turn) {
      const holder = find("#overlaid"), hint = find("#hint");
      hint.textContent = names.length && !problem.value ? "Choose one problem to see the curves of its tasks in common charts." : "";
      const lists = problem.value ? await Promise.all(names.map((name) => curvesOf(name, "curves/"))) : [];
      if (turn !== latest) return;
      holder.replaceChildren();
      const charted = lists.flatMap((list, i) => list.filter((chart) => chart.problem === problem.value).map((chart) => ({ evaluator: names[i], chart })));
      for (const key of new Set(charted.map(({ chart }) => `${chart.task} ${chart.axis}`))) {
        const curves = charted.filter(({ chart }) => `${chart.task} ${chart.axis}` === key);
        // A colour belongs to the place in the table, also where an evaluator has no curve.
        panel(holder, `${curves[0].chart.task} of ${names.join(", ")}`, () => charts.overlay(curves[0].chart.task, curves[0].chart.axis, curves, names));
      }
    }

    async function update() {
      const names = boxes.filter((box) => box.checked).map((box) => box.value), turn = ++latest, status = find("#status");
      remember({ evaluators: names.join(","), problem: problem.value });
      find("#side-by-side").replaceChildren(...(names.length ? [head(names), element("tbody", {}, ...summary(names), ...scores(names))] : []));
      const where = problem.value ? `on ${problem.value}` : `on ${data.problems.length} ${data.problems.length === 1 ? "problem" : "problems"}`;
      status.textContent = names.length > 1 ? `${names.length} side by side ${where}.` : names.length ? "Choose one more to compare it with." : "Choose two or more to compare.";
      try {
        await overlay(names, turn);
      } catch (error) {
        status.textContent = `${error.message}: build the site again.`;
      }
    }

    function restore() {
      const state = view(), names = (state.get("evaluators") || "").split(","), wanted = [state.get("problem")];
      for (const box of boxes) box.checked = names.includes(box.value);
      if (!boxes.some((box) => box.checked)) boxes.slice(0, TOP).forEach((box) => { box.checked = true; });
      find("#choice").open = innerWidth > NARROW || names.length < 2;
      problem.value = data.problems.some(({ name }) => name === state.get("problem")) ? state.get("problem") : "";
      update();
      const unknown = [...names.filter((name) => name && !positions.has(name)), ...wanted.filter((value) => value && value !== problem.value)];
      if (unknown.length) find("#status").prepend(`Not in this suite, and left out: ${unknown.join(", ")}. `);
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", update);
    form.addEventListener("reset", () => setTimeout(() => { problem.value = ""; update(); }));
    addEventListener("hashchange", restore);
    copies(find("#copy"));
    restore();
  };
})();
