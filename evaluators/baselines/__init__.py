"""OpenDataVal's evaluators with safe settings.

Where OpenDataVal's algorithm is right, its class runs unchanged and the class here only chooses settings; where it is
wrong, the class here corrects it and says what it corrects. Most classes have the name of OpenDataVal's class, which
they derive from. OpenDataVal keeps its classes in a registry by name, so a class of an equal name would replace its
own class there: the mixin `evaluators.common.baseline.Baseline` keeps these classes out of it.
"""
