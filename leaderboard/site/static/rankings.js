// Ranks, tiers, normalised scores and win rates of the chosen problems and evaluators, as in leaderboard/statistics.py and tiers.py.
// A score is a number, null if it is planned but does not exist, false if it is not planned, or "declined".
"use strict";
const rankings = (() => {
  const ALPHA = 0.05, FEWEST = 6, ALL_SIGNS = 12, CHANGES = 2000, MOST_NUMBERS = 4e6, EQUAL = 1e-9;

  // 1 is best; ties get the average of their ranks, and so do all without a score, which are last. Reference rows and
  // declined scores have none (null), and ranks among fewer are stretched.
  function ranks(values, up, compared) {
    const counts = values.map((v, e) => compared[e] && v !== "declined");
    const keys = values.map((v) => (typeof v === "number" ? (up ? -v : v) : Infinity));
    const sorted = keys.filter((_, e) => counts[e]).sort((a, b) => a - b);
    const field = compared.filter(Boolean).length;
    return keys.map((key, e) => {
      if (!counts[e]) return null;
      const rank = (sorted.indexOf(key) + sorted.lastIndexOf(key)) / 2 + 1;
      return sorted.length < 2 ? null : sorted.length === field ? rank : 1 + ((rank - 1) * (field - 1)) / (sorted.length - 1);
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
      if (seeds.length) counted.push({ column, seeds });
    }
    const rows = counted.flatMap(({ seeds }) => seeds.map(({ row }) => row));
    const declined = evaluators.map((_, position) => mean(rows.map((row) => (row[position] === "declined" ? 1 : 0))));
    const roles = evaluators.map((e, position) => data.evaluators[e].role || (declined[position] > 0.5 ? "declines most" : ""));
    const compared = roles.map((role) => !role);
    for (const sheet of counted) sheet.ranks = sheet.seeds.map(({ row }) => ranks(row, sheet.column.up, compared));
    return { counted, roles };
  }

  // NaN and null are left out.
  const mean = (list) => {
    const known = list.filter((v) => v !== null && !Number.isNaN(v));
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };

  // Mean of what each problem has: every problem has the same weight, and within it every task.
  function overProblems(counted, values) {
    const problems = new Map();
    counted.forEach(({ column }, position) => problems.set(column.problem, [...(problems.get(column.problem) || []), values[position]]));
    return mean([...problems.values()].map(mean));
  }

  // The mean of each evaluator over the seeds, null if it has none.
  function normalised(sheet, random, roles) {
    const sign = sheet.column.up ? 1 : -1, hasZero = (row) => random >= 0 && typeof row[random] === "number";
    const above = sheet.seeds.map(({ row }) => row.map((v) => (v === "declined" ? undefined : typeof v !== "number" ? null : hasZero(row) ? sign * (v - row[random]) : undefined)));
    const best = above.filter((_, position) => hasZero(sheet.seeds[position].row)).map((row) => Math.max(...row.filter((v, e) => typeof v === "number" && (!roles[e] || e === random))));
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

  // Changes of sign, the first of which changes nothing.
  function signs(observations, pairs) {
    const count = Math.max(200, Math.min(CHANGES, Math.floor(MOST_NUMBERS / Math.max(pairs, 1)))), every = 2 ** (observations - 1);
    const random = generator(1), sign = (drawn) => (drawn ? -1 : 1);
    if (observations <= ALL_SIGNS && every <= 2 * count)
      return Array.from({ length: every }, (_, i) => Array.from({ length: observations }, (_, o) => sign((i >> o) & 1)));
    return Array.from({ length: count }, (_, i) => Array.from({ length: observations }, () => sign(i && random() < 0.5)));
  }

  // Which of the evaluators are better than which others; values[observation][evaluator], lower is better.
  function separated(values) {
    const size = values[0].length, better = Array.from({ length: size }, () => new Array(size).fill(false)), pairs = [];
    if (values.length < FEWEST) return better;
    for (let i = 0; i < size; i++)
      for (let j = i + 1; j < size; j++) {
        const differences = values.map((row) => (row[i] === null || row[j] === null ? 0 : row[i] - row[j]));
        pairs.push({ i, j, differences, square: mean(differences.map((d) => d * d)) });
      }
    const squares = pairs.map(({ square }) => square).filter((v) => v > 0).sort((a, b) => a - b);
    if (!squares.length) return better;
    const median = quantile(squares, 0.5);
    for (const pair of pairs) {
      pair.scaled = pair.differences.map((d) => d / Math.sqrt(pair.square + median) / values.length);
      pair.statistic = pair.scaled.reduce((a, b) => a + b, 0);
    }
    const changes = signs(values.length, pairs.length);
    let left = pairs.filter(({ statistic }) => Math.abs(statistic) > 0);
    while (left.length) {
      const largest = Float64Array.from(changes, (change) => {
        let most = 0;
        for (const { scaled } of left) {
          let sum = 0;
          for (let o = 0; o < change.length; o++) sum += change[o] * scaled[o];
          if (Math.abs(sum) > most) most = Math.abs(sum);
        }
        return most;
      }).sort();
      const level = largest.length - Math.floor(ALPHA * largest.length) - 1;
      const different = left.filter(({ statistic }) => largest[level] < Math.abs(statistic) * (1 - 1e-9));
      if (!different.length) break;
      for (const { i, j, statistic } of different) better[statistic < 0 ? i : j][statistic < 0 ? j : i] = true;
      left = left.filter((pair) => !different.includes(pair));
    }
    return better;
  }

  // The ranks of each (problem, seed), averaged over tasks, or those of each problem if there are enough.
  function observations(counted, positions) {
    const problems = new Map();
    for (const sheet of counted)
      sheet.seeds.forEach(({ seed }, row) => {
        const seeds = problems.get(sheet.column.problem) || new Map();
        problems.set(sheet.column.problem, seeds.set(seed, [...(seeds.get(seed) || []), sheet.ranks[row]]));
      });
    const averaged = (rows) => positions.map((e) => mean(rows.map((row) => row[e])));
    const bySeed = [...problems.values()].map((seeds) => [...seeds.values()].map(averaged));
    if (bySeed.length >= FEWEST) return bySeed.map((rows) => positions.map((_, e) => mean(rows.map((row) => row[e]))));
    const all = bySeed.flat().length;
    return bySeed.flatMap((rows) => rows.map((row) => row.map((v) => (v === null ? null : (v * all) / bySeed.length / rows.length))));
  }

  function quantile(sorted, level) {
    const position = level * (sorted.length - 1), below = Math.floor(position);
    return sorted[below] + (position - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
  }

  // One entry per evaluator that is no reference row, best first, one alone without rank and tier; only the given columns and evaluators count.
  function overall(data, columns, evaluators) {
    const { counted, roles } = sheets(data, columns, evaluators);
    if (!counted.length) return [];
    const random = evaluators.findIndex((e) => data.evaluators[e].role === "random");
    const scaled = random < 0 ? [] : counted.map((sheet) => normalised(sheet, random, roles));
    const entries = evaluators.map((e, position) => {
      const all = counted.flatMap((sheet) => sheet.seeds.map(({ row }) => row[position]));
      return {
        evaluator: e,
        position,
        meanRank: overProblems(counted, counted.map((sheet) => mean(sheet.ranks.map((row) => row[position])))),
        normalised: scaled.length ? overProblems(counted, scaled.map((values) => values[position])) : null,
        ok: all.filter((v) => typeof v === "number").length,
        declined: all.filter((v) => v === "declined").length,
        lacking: all.filter((v) => typeof v !== "number" && v !== "declined").length,
      };
    }).filter((entry) => !roles[entry.position]);
    if (entries.length < 2) return entries.map((entry) => ({ ...entry, rank: null, interval: null, tier: null, separable: false }));  // nothing to compare
    const rounded = (entry) => Math.round(entry.meanRank * 1e6);
    for (const entry of entries) entry.rank = 1 + entries.filter((other) => rounded(other) < rounded(entry)).length;
    const name = (entry) => data.evaluators[entry.evaluator].name;
    entries.sort((a, b) => a.rank - b.rank || (name(a) < name(b) ? -1 : 1));
    const better = separated(observations(counted, entries.map(({ position }) => position)));
    let head = 0, tier = 0;
    entries.forEach((entry, i) => {
      if (!i || better[head][i]) [head, tier] = [i, tier + 1];
      entry.interval = [1 + better.filter((row) => row[i]).length, entries.length - better[i].filter(Boolean).length];
      Object.assign(entry, { tier, separable: i > 0 && better[i - 1][i] });
    });
    return entries;
  }

  // Mean seconds of a valuation over the chosen problems; null for an evaluator without one of its planned valuations.
  function seconds(data, columns, evaluator) {
    const problems = [...new Set(columns.map(({ problem }) => problem))];
    const all = problems.map((problem) => data.problems[problem].seconds[evaluator]).filter((v) => v !== false);
    return all.includes(null) ? null : mean(all);
  }

  // The score by task of an evaluator, or of a reference model by its name: means over seeds, then over problems; null if
  // a problem has no score that has one of another evaluator, unless it is declined.
  function scores(data, columns, evaluator) {
    const tasks = new Map(), isNumber = (v) => typeof v === "number";
    for (const column of columns) {
      const values = typeof evaluator === "string" ? column.models?.[evaluator] ?? [] : column.values.map((row) => row[evaluator]);
      const numbers = values.filter(isNumber), left = values.every((v) => v === false) || values.includes("declined");
      if (!numbers.length && (left || !column.values.some((row) => row.some(isNumber)))) continue;
      tasks.set(column.task, [...(tasks.get(column.task) || []), numbers.length ? mean(numbers) : null]);
    }
    return new Map([...tasks].map(([task, means]) => [task, means.includes(null) ? null : mean(means)]));
  }

  // The interval of the mean of some seeds, as in leaderboard/intervals.py; null if their spread is not known. A range
  // without an end has null there, and `quantiles` are those of Student's t by number of seeds.
  function interval(numbers, [lowest, highest], quantiles) {
    if (numbers.length < 2) return null;
    const centre = mean(numbers), deviation = Math.sqrt(numbers.reduce((sum, v) => sum + (v - centre) ** 2, 0) / (numbers.length - 1));
    if (!(deviation > EQUAL * Math.abs(centre))) return null;
    const half = (quantiles[numbers.length] * deviation) / Math.sqrt(numbers.length);
    return [Math.max(centre - half, Math.min(lowest ?? -Infinity, centre)), Math.min(centre + half, Math.max(highest ?? Infinity, centre))];
  }

  // The fraction of (column, seed) in which the row's evaluator is better than the column's; where one declines, none.
  function wins(data, columns, evaluators) {
    const rows = sheets(data, columns, evaluators).counted.flatMap(({ column, seeds }) =>
      seeds.map(({ row }) => row.map((v) => (v === "declined" ? null : typeof v !== "number" ? -Infinity : column.up ? v : -v))));
    const won = (a, b) => (a === null || b === null ? null : a > b ? 1 : a === b ? 0.5 : 0);
    return evaluators.map((_, i) => evaluators.map((_, j) => (i === j ? null : mean(rows.map((r) => won(r[i], r[j]))))));
  }

  return { overall, scores, interval, seconds, wins, mean };
})();
