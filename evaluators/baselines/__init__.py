"""OpenDataVal's evaluators with safe settings.

Where OpenDataVal's algorithm is right it runs unchanged, and a module here only chooses settings; where it is not, the
module says what it mends. Their names differ from OpenDataVal's, because a class with an equal name would silently take
the other's place in OpenDataVal's registry.
"""
