"""Exact tables: small problems with the test utilities of models trained on every coalition of their players.

Which problems have a table is written in ``tables.toml``; `dvbench.exact.tables` reads tables, `dvbench.exact.compute`
computes and checks them, and `dvbench.exact.export` writes them for other libraries.
"""
