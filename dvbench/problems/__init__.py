"""From a source of data to a valuation problem: splits, noise, groups, tables, corpora, tokens, hub and mirror."""
