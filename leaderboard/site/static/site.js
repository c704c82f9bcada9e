// Sorting and searching of tables, filters with links to the filtered view, and the charts of the pages.
"use strict";
window.dvbench = (() => {
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const received = new Map(), waiting = new Map();

  // The state of the view is in the address, after the #.
  const view = () => new URLSearchParams(location.hash.slice(1));
  function remember(changes) {
    const state = view();
    for (const [key, value] of Object.entries(changes)) value ? state.set(key, value) : state.delete(key);
    history.replaceState(null, "", `#${state}`);
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function number(value, decimals = 3) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    if (value && (Math.abs(value) < 0.5 * 10 ** -decimals || Math.abs(value) >= 1e7)) return value.toExponential(2);
    return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toFixed(decimals);
  }

  function interactive(table, more = {}) {
    const search = all("tbody tr", table).length > 5;
    return new DataTable(table, {
      paging: false, info: false, order: [], autoWidth: false, language: { search: "Search", zeroRecords: "No row has this text. Empty the search field to see all." },
      layout: { topStart: search ? "search" : null, topEnd: null, bottomStart: null, bottomEnd: null }, ...more,
    });
  }

  function copies(button) {
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(location.href);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Copy the link from the address bar";
      }
      setTimeout(() => { button.textContent = "Copy link to this view"; }, 2000);
    });
  }

  // ---- the overview of a suite

  function overview(data) {
    const form = find("#filters"), ranking = find("#ranking");
    const positions = new Map(data.evaluators.map((evaluator, e) => [evaluator.name, e]));
    const rows = all("tbody tr", ranking).map((row) => ({ row, evaluator: positions.get(find("th", row).textContent) }));
    const hasNormalised = find("thead", ranking).textContent.includes("normalised");
    const names = [...form.elements].filter((field) => field.name).map((field) => field.name);
    const unfiltered = find("#separable").textContent;
    const methods = form.getAttribute("data-methods");  // form.dataset is the field of that name
    let table = null, chosen = null;

    function choose() {
      const value = (name) => form.elements[name].value;
      const facets = ["level", "dataset", "model", "noise"].filter(value);
      const columns = data.columns.filter((column) =>
        facets.every((name) => data.problems[column.problem][name] === value(name)) && (!value("task") || column.task === value("task")));
      const evaluators = data.evaluators.map((_, e) => e).filter((e) => {
        const { hardware } = data.evaluators[e], seconds = rankings.seconds(data, columns, e);
        return (!value("hardware") || hardware.includes(value("hardware"))) && (!value("budget") || (seconds !== null && seconds <= Number(value("budget"))));
      });
      return { columns, evaluators, entries: rankings.overall(data, columns, evaluators), filtered: names.some(value) };
    }

    // What is in the address and is no filter, or has a value that this suite does not have.
    function unknown() {
      const known = new Set([...names, "q", "sort"]);
      return [...view()].filter(([name, value]) => value && (!known.has(name) || (names.includes(name) && form.elements[name].value !== value)));
    }

    function redraw() {
      table?.destroy();
      const order = new Map(chosen.entries.map((entry) => [entry.evaluator, entry]));
      const body = find("tbody", ranking);
      const shown = chosen.filtered ? chosen.entries.map((entry) => filled(rows.find((other) => other.evaluator === entry.evaluator).row, entry)) : rows.map(({ row }) => row);
      body.replaceChildren(...shown);
      const state = view(), [column, direction] = (state.get("sort") || "").split("-");
      table = interactive(ranking, {
        order: /^\d+$/.test(column) && Number(column) < find("thead tr", ranking).children.length ? [[Number(column), direction === "desc" ? "desc" : "asc"]] : [],
        search: { search: state.get("q") || "" },
      });
      table.on("order", () => { const [first] = table.order(); remember({ sort: first ? `${first[0]}-${first[1]}` : "" }); });
      table.on("search", () => remember({ q: table.search() }));
      const separable = chosen.entries.filter((entry) => entry.separable).length;
      find("#separable").textContent = chosen.filtered && order.size ? `${separable} of ${order.size - 1} neighbouring ranks are separable.` : unfiltered;
      const problems = new Set(chosen.columns.map((column) => column.problem)).size;
      find("#status").textContent = chosen.filtered
        ? `${order.size} ${methods} ranked among each other in ${chosen.columns.length} problem-task pairs of ${problems} problems.` + (order.size ? "" : " No score is left: remove a filter.")
        : `All ${rows.length} ${methods} in all ${data.columns.length} problem-task pairs.`;
      const wrong = unknown().map(([name, value]) => `${name}=${value}`).join(", ");
      if (wrong) find("#status").prepend(`Not known here, and left out: ${wrong}. `);
      if (chosen.filtered && !order.size) {
        const back = element("button", { type: "button" }, "Remove all filters");
        back.addEventListener("click", () => form.reset());
        find("#status").append(" ", back);
      }
    }

    function filled(row, entry) {
      const copy = row.cloneNode(true), cells = [...copy.children], last = Math.max(chosen.entries.length - 1, 1);
      const percent = (rank) => Math.min(Math.max((100 * (rank - 1)) / last, 0), 100);
      const [low, high] = entry.interval;
      cells[0].textContent = low === high ? low : `${low}-${high}`;
      cells[0].dataset.order = entry.rank;
      cells[2].textContent = entry.tier;
      cells[3].textContent = number(entry.meanRank, 2);
      cells[3].dataset.order = entry.meanRank;
      const track = element("span", { class: "track", role: "presentation" }, element("i"), element("b"));
      track.firstChild.style.left = `${percent(low)}%`;
      track.firstChild.style.right = `${100 - percent(high)}%`;
      track.lastChild.style.left = `${percent(entry.meanRank)}%`;
      cells[4].replaceChildren(track);
      const rest = cells.slice(hasNormalised ? 6 : 5);
      if (hasNormalised) {
        cells[5].textContent = number(entry.normalised, 2);
        cells[5].dataset.order = entry.normalised ?? "";
      }
      rest[0].textContent = entry.ok;
      rest[2].textContent = entry.declined;
      const seconds = rankings.seconds(data, chosen.columns, entry.evaluator);
      rest[3].textContent = number(seconds, 2);
      rest[3].dataset.order = seconds ?? "";
      rest[1].replaceChildren(entry.lacking ? element("span", { class: "alarm" }, String(entry.lacking)) : "0");
      return copy;
    }

    // Shades the cells of every column, from the lowest rank to the highest.
    function heat(sheet) {
      const lines = all("tbody tr", sheet).map((row) => all("td", row));
      for (const column of lines[0]?.keys() ?? []) {
        const cells = lines.map((line) => line[column]).filter((cell) => cell.textContent.trim()), ranks = cells.map((cell) => Number(cell.textContent));
        const best = Math.min(...ranks), span = Math.max(...ranks) - best || 1;
        cells.forEach((cell, i) => { cell.classList.add("heat"); cell.style.setProperty("--heat", String(1 - (ranks[i] - best) / span)); });
      }
    }

    const original = find("#by-task table").cloneNode(true);
    function tasks() {
      const holder = find("#by-task");
      let sheet = original.cloneNode(true);
      if (chosen.filtered) {
        const means = rankings.byTask(data, chosen.columns, chosen.evaluators);
        const head = element("tr", {}, element("th", { scope: "col" }, "evaluator"), ...[...means.keys()].map((task) => element("th", { scope: "col" }, task.replaceAll("_", " "))));
        const body = chosen.entries.map((entry) => {
          const e = chosen.evaluators.indexOf(entry.evaluator), { name } = data.evaluators[entry.evaluator];
          const link = element("a", { href: `evaluators/${encodeURIComponent(name)}.html` }, name);
          const cells = [...means.values()].map((list) => {
            const best = list[e] === Math.min(...list.filter((v) => v !== null)), text = number(list[e], 1);
            return element("td", best ? { class: "best" } : {}, best ? element("strong", {}, text) : text);
          });
          return element("tr", {}, element("th", { scope: "row" }, link), ...cells);
        });
        sheet = element("table", { class: "grid", "aria-label": "Mean rank by task" }, element("thead", {}, head), element("tbody", {}, ...body));
      }
      heat(sheet);
      holder.replaceChildren(element("div", { class: "scroll" }, sheet));
      interactive(sheet);
    }

    function qualityAndCost() {
      const points = chosen.entries.map((entry) => ({ name: data.evaluators[entry.evaluator].name, y: entry.meanRank, seconds: rankings.seconds(data, chosen.columns, entry.evaluator) }));
      return charts.qualityAndCost(points, find("#quality-cost").clientWidth);
    }

    function winRates() {
      const order = chosen.entries.map((entry) => entry.evaluator), labels = order.map((e) => data.evaluators[e].name);
      return {
        traces: [{
          type: "heatmap", z: rankings.wins(data, chosen.columns, order), x: labels, y: labels, zmin: 0, zmax: 1,
          colorscale: [[0, "#b2182b"], [0.5, "#f7f7f7"], [1, "#2166ac"]], hovertemplate: "%{y} beats %{x}: %{z:.0%}<extra></extra>",
          colorbar: { tickformat: ".0%", thickness: 12 },
        }],
        margin: { l: 10, r: 10, t: 10, b: 10 }, yaxis: { autorange: "reversed", tickfont: { size: 10 } }, xaxis: { tickangle: -60, tickfont: { size: 10 } },
      };
    }

    function update() {
      chosen = choose();
      redraw();
      tasks();
      charts.show(find("#quality-cost"), qualityAndCost);
      charts.show(find("#win-rates"), winRates);
    }

    function restore() {
      const state = view();
      for (const name of names) {
        const wanted = state.get(name) || "";
        if (wanted) find("#fold").open = true;
        form.elements[name].value = [...form.elements[name].options].some((each) => each.value === wanted) ? wanted : "";
      }
      update();
    }

    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => { remember(Object.fromEntries(names.map((name) => [name, form.elements[name].value]))); update(); });
    form.addEventListener("reset", () => { history.replaceState(null, "", "#"); setTimeout(restore); });
    addEventListener("hashchange", restore);
    copies(find("#copy"));
    restore();
  }

  // ---- curves

  function curvesOf(evaluator, folder) {
    if (received.has(evaluator)) return Promise.resolve(received.get(evaluator));
    if (!waiting.has(evaluator)) {
      waiting.set(evaluator, new Promise((resolve, reject) => {
        const script = element("script", { src: `${folder}${encodeURIComponent(evaluator)}.js` });
        script.onload = () => resolve(received.get(evaluator));
        script.onerror = () => reject(new Error(`the curves of ${evaluator} did not load`));
        document.head.append(script);
      }));
    }
    return waiting.get(evaluator);
  }

  function panel(holder, title, make) {
    const figure = element("div", { class: "chart", role: "group", "aria-label": title });
    holder.append(figure);
    charts.show(figure, make);
  }

  function showCurves(evaluator, list) {
    const holder = find("#curves");
    if (!list.length) holder.append("No task of this suite has curves of this evaluator.");
    for (const chart of list) {
      const title = `${chart.task} on ${chart.problem}`;
      panel(holder, title, () => charts.overlay(`${chart.task}<br>${chart.problem}`, chart.axis, [{ evaluator, chart }]));
    }
  }

  // A task that is explained by curves of the first evaluator and of random values, on the first problem that has them.
  async function example(holder) {
    const { task, suite, evaluators } = holder.dataset, names = JSON.parse(evaluators);
    const lists = await Promise.all(names.map((name) => curvesOf(name, `${document.body.dataset.root}${suite}/curves/`)));
    const [first] = lists[0].filter((chart) => chart.task === task);
    if (!first) return;
    for (const { axis } of lists[0].filter((chart) => chart.task === task && chart.problem === first.problem)) {
      const curves = names.flatMap((evaluator, i) => lists[i].filter((chart) => chart.task === task && chart.problem === first.problem && chart.axis === axis).map((chart) => ({ evaluator, chart })));
      panel(holder, `${task} of ${names.join(" and ")} on ${first.problem}`, () => charts.overlay(`${task}<br>${first.problem}`, axis, curves));
    }
  }

  function copyable(holder) {
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(find("code", holder).textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(find("code", holder));
        button.textContent = "Selected: press Ctrl+C";
      }
    });
    holder.append(button);
  }

  // ---- side by side

  function comparison(data) {
    const form = find("#comparison"), problem = form.elements.problem, boxes = all("input[type=checkbox]", form);
    const positions = new Map(data.evaluators.map((evaluator, e) => [evaluator.name, e]));
    problem.append(...data.problems.map(({ name }) => element("option", {}, name)));
    let latest = 0;

    function table(names) {
      const problemIndex = data.problems.findIndex(({ name }) => name === problem.value);
      const head = element("tr", {}, element("th", { scope: "col" }, "task"), ...names.map((name) => element("th", { scope: "col" }, name)));
      const body = data.columns.filter((column) => column.problem === problemIndex).map((column) => {
        const means = names.map((name) => rankings.mean(column.values.map((row) => row[positions.get(name)]).filter((v) => typeof v === "number")));
        // A mean over some of the seeds cannot be the best.
        const whole = names.map((name) => column.values.every((row) => typeof row[positions.get(name)] === "number"));
        const complete = means.filter((v, i) => v !== null && whole[i]), best = column.up ? Math.max(...complete) : Math.min(...complete);
        const label = `${column.task.replaceAll("_", " ")}, ${column.metric} ${column.up ? "↑" : "↓"}`;
        const cells = means.map((value, i) => {
          const text = value === null ? "–" : number(value) + (whole[i] ? "" : " (not all seeds)");
          return element("td", value === best && whole[i] ? { class: "best" } : {}, value === best && whole[i] ? element("strong", {}, text) : text);
        });
        return element("tr", {}, element("th", { scope: "row" }, label), ...cells);
      });
      find("#side-by-side").replaceChildren(...(names.length ? [element("thead", {}, head), element("tbody", {}, ...body)] : []));
    }

    async function update() {
      const names = boxes.filter((box) => box.checked).map((box) => box.value), turn = ++latest;
      remember({ evaluators: names.join(","), problem: problem.value });
      table(names);
      const status = find("#status"), holder = find("#overlaid");
      status.textContent = names.length ? `${names.length} side by side on ${problem.value}. Scores are means over seeds; curves are means over the seeds in brackets.` : "Choose evaluators to compare.";
      try {
        const lists = await Promise.all(names.map((name) => curvesOf(name, "curves/")));
        if (turn !== latest) return;
        holder.replaceChildren();
        const charted = names.flatMap((evaluator, i) => lists[i].filter((chart) => chart.problem === problem.value).map((chart) => ({ evaluator, chart })));
        for (const key of new Set(charted.map(({ chart }) => `${chart.task} ${chart.axis}`))) {
          const curves = charted.filter(({ chart }) => `${chart.task} ${chart.axis}` === key);
          panel(holder, `${curves[0].chart.task} of ${names.join(", ")}`, () => charts.overlay(curves[0].chart.task, curves[0].chart.axis, curves));
        }
      } catch (error) {
        status.textContent = `${error.message}: build the site again.`;
      }
    }

    function restore() {
      const state = view(), names = (state.get("evaluators") || "").split(",");
      for (const box of boxes) box.checked = names.includes(box.value);
      if (!boxes.some((box) => box.checked)) boxes.slice(0, 3).forEach((box) => { box.checked = true; });
      if (data.problems.some(({ name }) => name === state.get("problem"))) problem.value = state.get("problem");
      update();
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", update);
    form.addEventListener("reset", () => setTimeout(update));
    addEventListener("hashchange", restore);
    copies(find("#copy"));
    restore();
  }

  // DataTables reads the colour scheme from a class.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  document.addEventListener("DOMContentLoaded", () => {
    for (const table of all("table.interactive, .searchable table")) interactive(table);
    for (const holder of all(".copies")) copyable(holder);
    if (find("#example")) example(find("#example"));
  });

  return {
    tools: { element, number, remember, view },
    receive: (data) => (find("#ranking") ? overview(data) : comparison(data)),
    curves(evaluator, list) {
      received.set(evaluator, list);
      if (find("#curves")?.dataset.evaluator === evaluator) showCurves(evaluator, list);
    },
  };
})();
