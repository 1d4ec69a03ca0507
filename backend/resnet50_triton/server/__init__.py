"""A real tritonserver: found, given a model repository, started, watched and stopped."""
