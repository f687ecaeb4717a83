"""Each task uses components by weights that do not depend on the example."""
