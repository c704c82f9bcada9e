"""OpenDataVal's evaluators with safe settings.

They compute what the papers define, after which they are named, and they derive from OpenDataVal's classes. The notes
of each class say what differs from OpenDataVal's. Where OpenDataVal computes something else than the paper, the
parameter ``variant="opendataval"`` computes that. Most classes also have the name of OpenDataVal's class. OpenDataVal
keeps its classes in a registry by name, so a class of an equal name would replace its own class there: the mixin
`evaluators.common.baseline.Baseline` keeps these classes out of it.
"""
