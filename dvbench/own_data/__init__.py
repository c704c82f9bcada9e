"""Values the rows of a user's own table, or groups of its rows, in one call."""
