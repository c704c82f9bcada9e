"""Plug-ins: methods of other libraries, one file a library, each public class an evaluator ``library:name``.

A file imports its library, so it is imported only if one of its evaluators is used.
"""
