"""Plans cells, runs them, resumes and isolates failures."""
