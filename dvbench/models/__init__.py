"""Models: one file per model. The file defines a function of the same name, which builds an untrained network."""
