"""Plug-ins: models of other libraries, one file a library, each public function a model ``library:name``."""
