"""The leaderboard: results -> ranks, tables, pages. Reads results only, and needs no torch."""
