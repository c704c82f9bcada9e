"""Read users' tables: cells are text first, columns get a role and a type, and what was understood is said.

`dvbench.tables.reading` is the door.
"""
