"""One file a task: a function of a problem and data values that gives metrics and curves."""
