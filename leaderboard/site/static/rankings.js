// Ranks, normalised scores and win rates of the chosen problems and evaluators, as in leaderboard/statistics.py.
// A score is a number, null if it is planned but does not exist, or false if it is not planned.
"use strict";
const rankings = (() => {
  const RESAMPLES = 1000;

  // 1 is best; ties get the average of their ranks, and so do all without a score, which are last.
  function ranks(values, up) {
    const keys = values.map((v) => (typeof v === "number" ? (up ? -v : v) : Infinity));
    const sorted = [...keys].sort((a, b) => a - b);
    return keys.map((key) => {
      const first = sorted.indexOf(key);
      return (first + sorted.lastIndexOf(key)) / 2 + 1;
    });
  }

  // The columns that count, each with the seeds that are planned for at least half of the chosen evaluators; if there are
  // none, the seeds that are planned for the most evaluators.
  function sheets(data, columns, evaluators) {
    const counted = [], planned = ({ row }) => row.filter((v) => v !== false).length;
    const all = columns.map((column) => column.values.map((row, seed) => ({ seed, row: evaluators.map((e) => row[e]) })));
    const fewest = Math.min(evaluators.length / 2, Math.max(0, ...all.flat().map(planned)));
    for (const [position, column] of columns.entries()) {
      const seeds = all[position].filter((seed) => planned(seed) >= Math.max(fewest, 1));
      if (seeds.length) counted.push({ column, seeds, ranks: seeds.map(({ row }) => ranks(row, column.up)) });
    }
    return counted;
  }

  const mean = (list) => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : null);

  // The mean of each evaluator over the seeds, null if it has none.
  function normalised(sheet, random) {
    const sign = sheet.column.up ? 1 : -1, hasZero = (row) => random >= 0 && typeof row[random] === "number";
    const above = sheet.seeds.map(({ row }) => row.map((v) => (typeof v !== "number" ? null : hasZero(row) ? sign * (v - row[random]) : undefined)));
    const best = above.filter((_, position) => hasZero(sheet.seeds[position].row)).map((row) => Math.max(...row.filter((v) => typeof v === "number")));
    const scale = mean(best);
    const scaled = (v) => (v === null ? -1 : scale > 0 ? Math.max(v / scale, -1) : v < 0 ? -1 : 0);
    return above[0].map((_, e) => mean(above.map((row) => row[e]).filter((v) => v !== undefined).map(scaled)));
  }

  // A random generator with a fixed seed, so that equal views show equal numbers: mulberry32.
  function generator(state) {
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  const draw = (count, next) => Array.from({ length: count }, () => Math.floor(next() * count));

  // Percentile bootstrap intervals of mean ranks, over problems and the seeds of each.
  function intervals(counted, size) {
    const problems = [...new Set(counted.map(({ column }) => column.problem))].map((problem) => {
      const sheets = counted.filter(({ column }) => column.problem === problem);
      return { sheets, seeds: [...new Set(sheets.flatMap((s) => s.seeds.map(({ seed }) => seed)))] };
    });
    if (problems.reduce((sum, p) => sum + p.seeds.length, 0) < 2) return null;
    const next = generator(1), means = Array.from({ length: size }, () => []);
    for (let b = 0; b < RESAMPLES; b++) {
      const times = new Array(problems.length).fill(0), total = new Float64Array(size);
      for (const p of draw(problems.length, next)) times[p] += 1;
      let count = 0;
      problems.forEach(({ sheets, seeds }, p) => {
        const drawn = draw(seeds.length, next).map((position) => seeds[position]);
        for (const sheet of times[p] ? sheets : []) {
          const rows = drawn.flatMap((seed) => sheet.ranks.filter((_, position) => sheet.seeds[position].seed === seed));
          if (!rows.length) continue;
          count += times[p];
          for (const row of rows) for (let e = 0; e < size; e++) total[e] += (times[p] * row[e]) / rows.length;
        }
      });
      if (count) means.forEach((list, e) => list.push(total[e] / count));
    }
    return means.map((list) => [0.025, 0.975].map((level) => quantile(list.sort((a, b) => a - b), level)));
  }

  function quantile(sorted, level) {
    const position = level * (sorted.length - 1), below = Math.floor(position);
    return sorted[below] + (position - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
  }

  // One entry per evaluator, best first; only the given columns and evaluators count.
  function overall(data, columns, evaluators) {
    const counted = sheets(data, columns, evaluators);
    if (!counted.length) return [];
    const random = evaluators.findIndex((e) => data.evaluators[e].random);
    const scaled = random < 0 ? [] : counted.map((sheet) => normalised(sheet, random));
    const ends = intervals(counted, evaluators.length);
    const entries = evaluators.map((e, position) => {
      const all = counted.flatMap((sheet) => sheet.seeds.map(({ row }) => row[position]));
      return {
        evaluator: e,
        meanRank: mean(counted.map((sheet) => mean(sheet.ranks.map((row) => row[position])))),
        interval: ends && ends[position],
        normalised: mean(scaled.map((values) => values[position]).filter((v) => v !== null)),
        ok: all.filter((v) => typeof v === "number").length,
        lacking: all.filter((v) => typeof v !== "number").length,
      };
    });
    const rounded = (entry) => Math.round(entry.meanRank * 1e6);
    for (const entry of entries) entry.rank = 1 + entries.filter((other) => rounded(other) < rounded(entry)).length;
    const name = (entry) => data.evaluators[entry.evaluator].name;
    return entries.sort((a, b) => a.rank - b.rank || (name(a) < name(b) ? -1 : 1));
  }

  // Mean seconds of a valuation over the chosen problems; null for an evaluator without one of its planned valuations.
  function seconds(data, columns, evaluator) {
    const problems = [...new Set(columns.map(({ problem }) => problem))];
    const all = problems.map((problem) => data.problems[problem].seconds[evaluator]).filter((v) => v !== false);
    return all.includes(null) ? null : mean(all);
  }

  // Mean rank of every evaluator in every task.
  function byTask(data, columns, evaluators) {
    const tasks = new Map();
    for (const sheet of sheets(data, columns, evaluators)) {
      const means = evaluators.map((_, position) => mean(sheet.ranks.map((row) => row[position])));
      tasks.set(sheet.column.task, [...(tasks.get(sheet.column.task) || []), means]);
    }
    return new Map([...tasks].map(([task, all]) => [task, evaluators.map((_, position) => mean(all.map((means) => means[position])))]));
  }

  // The fraction of (column, seed) in which the row's evaluator is better than the column's.
  function wins(data, columns, evaluators) {
    const rows = sheets(data, columns, evaluators).flatMap((sheet) => sheet.ranks);
    return evaluators.map((_, i) =>
      evaluators.map((_, j) => (i === j ? null : mean(rows.map((r) => (r[i] < r[j] ? 1 : r[i] === r[j] ? 0.5 : 0))))),
    );
  }

  return { overall, byTask, seconds, wins, mean };
})();
