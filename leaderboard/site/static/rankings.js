// Ranks, normalised scores and win rates of what was chosen: what leaderboard/statistics.py does, for filters.
// A score is a number, null where it was planned and is not there, or false where it was not planned.
"use strict";
const rankings = (() => {
  const RESAMPLES = 1000;

  // 1 is best; ties share the average of their places, as do all without a score, which are last.
  function ranks(values, up) {
    const keys = values.map((v) => (typeof v === "number" ? (up ? -v : v) : Infinity));
    const sorted = [...keys].sort((a, b) => a - b);
    return keys.map((key) => {
      const first = sorted.indexOf(key);
      return (first + sorted.lastIndexOf(key)) / 2 + 1;
    });
  }

  // The columns that count: for each the seeds that are planned for at least half of the evaluators chosen, or where
  // none is, for as many as any.
  function sheets(data, columns, evaluators) {
    const found = [], field = ({ row }) => row.filter((v) => v !== false).length;
    const all = columns.map((column) => column.values.map((row, seed) => ({ seed, row: evaluators.map((e) => row[e]) })));
    const fewest = Math.min(evaluators.length / 2, Math.max(0, ...all.flat().map(field)));
    for (const [place, column] of columns.entries()) {
      const seeds = all[place].filter((each) => field(each) >= Math.max(fewest, 1));
      if (seeds.length) found.push({ column, seeds, ranks: seeds.map(({ row }) => ranks(row, column.up)) });
    }
    return found;
  }

  const mean = (list) => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : null);

  // Each evaluator's mean over the seeds, null where it has none.
  function normalised(sheet, random) {
    const sign = sheet.column.up ? 1 : -1, there = (row) => random >= 0 && typeof row[random] === "number";
    const above = sheet.seeds.map(({ row }) => row.map((v) => (typeof v !== "number" ? null : there(row) ? sign * (v - row[random]) : undefined)));
    const best = above.filter((_, place) => there(sheet.seeds[place].row)).map((row) => Math.max(...row.filter((v) => typeof v === "number")));
    const reach = mean(best);
    const scaled = (v) => (v === null ? -1 : reach > 0 ? Math.max(v / reach, -1) : v < 0 ? -1 : 0);
    return above[0].map((_, e) => mean(above.map((row) => row[e]).filter((v) => v !== undefined).map(scaled)));
  }

  // A generator with a seed, so that the same view shows the same numbers: mulberry32.
  function generator(state) {
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  const draw = (count, next) => Array.from({ length: count }, () => Math.floor(next() * count));

  // Percentile bootstrap of mean ranks, over problems and the seeds of each.
  function intervals(found, size) {
    const problems = [...new Set(found.map(({ column }) => column.problem))].map((problem) => {
      const sheets = found.filter(({ column }) => column.problem === problem);
      return { sheets, seeds: [...new Set(sheets.flatMap((s) => s.seeds.map(({ seed }) => seed)))] };
    });
    if (problems.reduce((sum, p) => sum + p.seeds.length, 0) < 2) return null;
    const next = generator(1), means = Array.from({ length: size }, () => []);
    for (let b = 0; b < RESAMPLES; b++) {
      const times = new Array(problems.length).fill(0), total = new Float64Array(size);
      for (const p of draw(problems.length, next)) times[p] += 1;
      let count = 0;
      problems.forEach(({ sheets, seeds }, p) => {
        const drawn = draw(seeds.length, next).map((place) => seeds[place]);
        for (const sheet of times[p] ? sheets : []) {
          const rows = drawn.flatMap((seed) => sheet.ranks.filter((_, place) => sheet.seeds[place].seed === seed));
          if (!rows.length) continue;
          count += times[p];
          for (const row of rows) for (let e = 0; e < size; e++) total[e] += (times[p] * row[e]) / rows.length;
        }
      });
      if (count) means.forEach((list, e) => list.push(total[e] / count));
    }
    return means.map((list) => [0.025, 0.975].map((share) => quantile(list.sort((a, b) => a - b), share)));
  }

  function quantile(sorted, share) {
    const place = share * (sorted.length - 1), below = Math.floor(place);
    return sorted[below] + (place - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
  }

  // One entry an evaluator, best first; columns and evaluators are those to count.
  function overall(data, columns, evaluators) {
    const found = sheets(data, columns, evaluators);
    if (!found.length) return [];
    const random = evaluators.findIndex((e) => data.evaluators[e].random);
    const scaled = random < 0 ? [] : found.map((sheet) => normalised(sheet, random));
    const ends = intervals(found, evaluators.length);
    const entries = evaluators.map((e, place) => {
      const all = found.flatMap((sheet) => sheet.seeds.map(({ row }) => row[place]));
      return {
        evaluator: e,
        meanRank: mean(found.map((sheet) => mean(sheet.ranks.map((row) => row[place])))),
        interval: ends && ends[place],
        normalised: mean(scaled.map((each) => each[place]).filter((v) => v !== null)),
        ok: all.filter((v) => typeof v === "number").length,
        lacking: all.filter((v) => typeof v !== "number").length,
      };
    });
    const rounded = (entry) => Math.round(entry.meanRank * 1e6);
    for (const entry of entries) entry.rank = 1 + entries.filter((other) => rounded(other) < rounded(entry)).length;
    const name = (entry) => data.evaluators[entry.evaluator].name;
    return entries.sort((a, b) => a.rank - b.rank || (name(a) < name(b) ? -1 : 1));
  }

  // Mean seconds of a valuation over the problems chosen; null for an evaluator that lacks one it was planned for.
  function seconds(data, columns, evaluator) {
    const problems = [...new Set(columns.map(({ problem }) => problem))];
    const all = problems.map((problem) => data.problems[problem].seconds[evaluator]).filter((v) => v !== false);
    return all.includes(null) ? null : mean(all);
  }

  // Mean rank of every evaluator in every task.
  function byTask(data, columns, evaluators) {
    const tasks = new Map();
    for (const sheet of sheets(data, columns, evaluators)) {
      const means = evaluators.map((_, place) => mean(sheet.ranks.map((row) => row[place])));
      tasks.set(sheet.column.task, [...(tasks.get(sheet.column.task) || []), means]);
    }
    return new Map([...tasks].map(([task, all]) => [task, evaluators.map((_, place) => mean(all.map((m) => m[place])))]));
  }

  // The share of (column, seed) in which the row's evaluator is better than the column's.
  function wins(data, columns, evaluators) {
    const rows = sheets(data, columns, evaluators).flatMap((sheet) => sheet.ranks);
    return evaluators.map((_, i) =>
      evaluators.map((_, j) => (i === j ? null : mean(rows.map((r) => (r[i] < r[j] ? 1 : r[i] === r[j] ? 0.5 : 0))))),
    );
  }

  return { overall, byTask, seconds, wins, mean };
})();
