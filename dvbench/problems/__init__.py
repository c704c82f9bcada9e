"""Build valuation problems from data sets: splits, noise, groups, tables, corpora, tokens, hub and mirror."""
