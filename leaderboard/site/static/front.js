// The chooser of the front page: goal, data and budget lead to a ranking, and to a chart of quality against cost.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const { element, number, remember, view } = dvbench.tools;

  dvbench.front = ({ views, goals, seconds_of, fewest }) => {
    const form = find("#chooser");
    if (!form) return;
    const fields = form.elements, names = ["goal", "data", "budget", "suite"];
    fields.goal.append(...Object.entries(goals).map(([value, words]) => element("option", { value }, words)));

    function possible() {
      return views.filter((each) => each.goal === fields.goal.value && each.data === fields.data.value).sort((a, b) => b.at_home - a.at_home || b.observations - a.observations);
    }

    function update(wanted = fields.suite.value) {
      const list = possible();
      fields.suite.replaceChildren(...list.map(({ suite }) => element("option", { value: suite }, suite)));
      if (list.some(({ suite }) => suite === wanted)) fields.suite.value = wanted;
      fields.suite.parentElement.hidden = !list.length;
      remember(Object.fromEntries(names.map((name) => [name, fields[name].value])));
      show(list.find(({ suite }) => suite === fields.suite.value));
    }

    function show(chosen) {
      const table = find("#chosen"), chart = find("#quality-cost"), status = find("#status");
      const budget = Number(fields.budget.value) || Infinity;
      const rows = chosen ? chosen.rows.filter(({ seconds }) => budget === Infinity || (seconds !== null && seconds <= budget)) : [];
      table.hidden = chart.hidden = !rows.length;
      if (!rows.length) {
        const back = element("button", { type: "button" }, chosen ? "Allow any time" : "Use all kinds of data");
        back.addEventListener("click", () => { fields[chosen ? "budget" : "data"].value = ""; update(); });
        status.replaceChildren(chosen ? "No method is that fast. " : "No published suite has this goal on such data. ", back);
        return;
      }
      const head = ["rank", "method", "tier", "mean rank", "seconds"].map((text) => element("th", { scope: "col" }, text));
      const body = rows.map((row) => {
        const link = element("a", { href: `${chosen.suite}/evaluators/${encodeURIComponent(row.label)}.html` }, row.label);
        return element("tr", {}, element("td", {}, row.interval), element("th", { scope: "row" }, link, ...(row.against_random ? [" ", element("small", {}, row.against_random)] : [])), element("td", {}, String(row.tier)), element("td", {}, number(row.rank, 2)), element("td", {}, number(row.seconds, 2)));
      });
      table.replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
      const link = element("a", { href: `${chosen.suite}/index.html` }, chosen.suite);
      const tasks = chosen.tasks.map((task) => task.replaceAll("_", " ")).join(", ");
      status.replaceChildren("From ", link, `, ${chosen.problems} ${chosen.problems === 1 ? "problem" : "problems"}, by ${tasks}. Ranks are among all ${chosen.rows.length}.`, ...(chosen.problems < fewest ? [` These are fewer than ${fewest} problems, so ranks hold for these with other seeds, and not for other problems.`] : []));
      charts.show(chart, () => charts.qualityAndCost(rows.map((row) => ({ name: row.label, y: row.rank, seconds: row.seconds })), chart, seconds_of[chosen.rows[0].kind]));
    }

    const state = view();
    for (const name of ["goal", "data", "budget"]) {
      if ([...fields[name].options].some(({ value }) => value === state.get(name))) fields[name].value = state.get(name);
    }
    const wanted = [...state].filter(([, value]) => value);
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    // Another goal or kind of data starts with the first suite.
    form.addEventListener("change", ({ target }) => update(["goal", "data"].includes(target.name) ? "" : fields.suite.value));
    update(state.get("suite") || "");
    const unknown = wanted.filter(([name, value]) => !names.includes(name) || fields[name].value !== value);
    if (unknown.length) find("#status").prepend(`Not known here, and left out: ${unknown.map((pair) => pair.join("=")).join(", ")}. `);
    remember(Object.fromEntries(unknown.filter(([name]) => !names.includes(name)).map(([name]) => [name, ""])));
  };
})();
