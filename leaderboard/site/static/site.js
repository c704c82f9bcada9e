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
    if (Math.abs(value) < 1e-12) return (0).toFixed(decimals);
    if (Math.abs(value) < 0.5 * 10 ** -decimals) return String(Number(value.toPrecision(2)));
    if (Math.abs(value) >= 1e7) return value.toExponential(2);
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

  const ROUNDING = 1e-12;  // scores that differ by less are equal

  // How many of the scores are worse than each, from the worst (0) to the best (1): by place, because one score that is
  // far from the others would make these look the same.
  function shades(scores, up) {
    const upwards = scores.map((v) => (up ? v : -v));
    const worse = upwards.map((v) => upwards.filter((other) => v - other >= ROUNDING).length), most = Math.max(...worse);
    return worse.map((count) => (most ? count / most : 1));
  }

  function overview(data) {
    const form = find("#filters"), ranking = find("#ranking");
    const positions = new Map(data.evaluators.map((evaluator, e) => [evaluator.name, e]));
    const rows = all("tbody tr", ranking).map((row) => ({ row, evaluator: positions.get(find("th a", row).textContent) }));
    const references = all("tfoot tr", ranking).map((row) => ({ row, evaluator: positions.get(find("th a", row)?.textContent) ?? find("th", row).firstChild.textContent }));
    const tasks = all("thead th[data-task]", ranking).map((head) => ({ task: head.dataset.task, up: head.dataset.up === "yes" }));
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
      find("tfoot", ranking)?.replaceChildren(...references.map(({ row, evaluator }) => (chosen.filtered ? scored(row.cloneNode(true), evaluator) : row.cloneNode(true))));
      heat(body);
      const state = view(), [column, direction] = (state.get("sort") || "").split("-");
      table = interactive(ranking, {
        order: /^\d+$/.test(column) && Number(column) < find("thead tr", ranking).children.length ? [[Number(column), direction === "desc" ? "desc" : "asc"]] : [],
        search: { search: state.get("q") || "" },
      });
      table.on("order", () => { const [first] = table.order(); remember({ sort: first ? `${first[0]}-${first[1]}` : "" }); });
      table.on("search", () => remember({ q: table.search() }));
      find("#search").replaceChildren(...all(".dt-search", table.table().container()));
      const separable = chosen.entries.filter((entry) => entry.separable).length;
      find("#separable").textContent = chosen.filtered ? order.size < 2 ? "" : `${separable} of ${order.size - 1} neighbouring ranks are separable.` : unfiltered;
      const set = names.filter((name) => form.elements[name].value).length;
      find("#fold summary").textContent = set ? `${set} ${set === 1 ? "filter is" : "filters are"} set` : "Filters";
      const problems = new Set(chosen.columns.map((column) => column.problem)).size;
      find("#status").textContent = chosen.filtered
        ? `${order.size} ${methods} ranked among each other in ${chosen.columns.length} problem-task ${chosen.columns.length === 1 ? "pair" : "pairs"} of ${problems} ${problems === 1 ? "problem" : "problems"}.` + (order.size ? "" : " No score is left: remove a filter.")
        : `${rows.length > 1 ? `All ${rows.length} ${methods}` : `One ${form.getAttribute("data-method")}`} in all ${data.columns.length} problem-task pairs.`;
      const wrong = unknown().map(([name, value]) => `${name}=${value}`).join(", ");
      if (wrong) find("#status").prepend(`Not known here, and left out: ${wrong}. `);
      remember(Object.fromEntries(unknown().map(([name]) => [name, ""])));
      if (chosen.filtered && !order.size) {
        const back = element("button", { type: "button" }, "Remove all filters");
        back.addEventListener("click", () => form.reset());
        find("#status").append(" ", back);
      }
    }

    function filled(row, entry) {
      const copy = scored(row.cloneNode(true), entry.evaluator), last = Math.max(chosen.entries.length - 1, 1);
      const cell = (name) => find(`[data-of=${name}]`, copy), percent = (rank) => Math.min(Math.max((100 * (rank - 1)) / last, 0), 100);
      const put = (name, text, order) => { cell(name).textContent = text; cell(name).dataset.order = order ?? ""; };
      const [low, high] = entry.interval || [], seconds = rankings.seconds(data, chosen.columns, entry.evaluator);
      put("rank", low === high ? low ?? "" : `${low}-${high}`, entry.rank);
      put("tier", entry.tier ?? "", entry.tier);
      put("mean", number(entry.meanRank, 2), entry.meanRank);
      if (cell("normalised")) put("normalised", number(entry.normalised, 2), entry.normalised);
      put("ok", entry.ok, entry.ok);
      put("declined", entry.declined, entry.declined);
      put("seconds", number(seconds, 2), seconds);
      const lacks = (words) => (entry.lacking ? element("span", { class: "alarm" }, `${entry.lacking}${words}`) : "");
      cell("lacking").replaceChildren(lacks("") || "0");
      find("th .alarm", copy)?.remove();
      find("th", copy).append(" ", lacks(" lacking"));
      const track = find(".track", copy);
      if (!entry.interval) track?.remove();
      if (!track || !entry.interval) return copy;
      track.firstChild.style.left = `${percent(low)}%`;
      track.firstChild.style.right = `${100 - percent(high)}%`;
      track.lastChild.style.left = `${percent(entry.meanRank)}%`;
      return copy;
    }

    // Fills the scores by task of a row with those of the chosen columns.
    function scored(row, evaluator) {
      const means = rankings.scores(data, chosen.columns, evaluator);
      all("[data-of=score]", row).forEach((cell, i) => {
        const value = means.get(tasks[i].task) ?? null;
        cell.textContent = number(value);
        value === null ? delete cell.dataset.order : (cell.dataset.order = value);
      });
      return row;
    }

    // Shades the scores of every task, and makes the best bold.
    function heat(body) {
      const lines = all("tr", body).map((row) => all("[data-of=score]", row));
      tasks.forEach(({ up }, i) => {
        const cells = lines.map((line) => line[i]).filter((cell) => cell.dataset.order), scores = cells.map((cell) => Number(cell.dataset.order));
        if (!cells.length) return;
        const best = (up ? Math.max : Math.min)(...scores), shares = shades(scores, up);
        cells.forEach((cell, j) => {
          cell.classList.add("heat");
          cell.style.setProperty("--heat", shares[j].toFixed(3));
          cell.replaceChildren(Math.abs(best - scores[j]) < ROUNDING ? element("strong", {}, cell.textContent) : cell.textContent);
        });
      });
    }

    function qualityAndCost() {
      const points = chosen.entries.map((entry) => ({ name: data.evaluators[entry.evaluator].name, y: entry.meanRank, seconds: rankings.seconds(data, chosen.columns, entry.evaluator) }));
      return charts.qualityAndCost(points, find("#quality-cost"), find("#quality-cost").dataset.seconds);
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
      charts.show(find("#quality-cost"), qualityAndCost);
      charts.show(find("#win-rates"), winRates);
    }

    function restore() {
      const state = view();
      for (const name of names) {
        const wanted = state.get(name) || "";
        form.elements[name].value = [...form.elements[name].options].some((each) => each.value === wanted) ? wanted : "";
      }
      update();
    }

    find(".tools").hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => { remember(Object.fromEntries(names.map((name) => [name, form.elements[name].value]))); update(); });
    form.addEventListener("reset", () => { history.replaceState(null, "", "#"); setTimeout(restore); });
    addEventListener("hashchange", restore);
    const more = find("#more"), fold = (folded) => { ranking.classList.toggle("folded", folded); more.setAttribute("aria-pressed", String(!folded)); };
    more.addEventListener("click", () => fold(!ranking.classList.contains("folded")));
    fold(true);
    if (find("#speed")) charts.show(find("#speed"), () => charts.speed(data.speed));
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

  // A long text shows two lines, and all of it on demand.
  function clamp(text) {
    text.classList.add("clamped");
    if (text.scrollHeight <= text.clientHeight + 1) return text.classList.remove("clamped");
    const button = element("button", { type: "button", class: "unclamp", "aria-label": "more of the description" }, "more");
    button.addEventListener("click", () => { text.classList.remove("clamped"); button.remove(); });
    text.append(" ", button);
  }

  // DataTables reads the colour scheme from a class.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  document.addEventListener("DOMContentLoaded", () => {
    for (const table of all("table.interactive, .searchable table")) interactive(table);
    for (const holder of all(".copies")) copyable(holder);
    for (const text of all(".clamps")) clamp(text);
    if (find("#example")) example(find("#example"));
  });

  return {
    tools: { find, all, element, number, remember, view, copies, curvesOf, panel, shades },
    receive: overview,
    curves(evaluator, list) {
      received.set(evaluator, list);
      if (find("#curves")?.dataset.evaluator === evaluator) showCurves(evaluator, list);
    },
  };
})();
