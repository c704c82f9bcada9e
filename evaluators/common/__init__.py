"""Code that several evaluators use."""
