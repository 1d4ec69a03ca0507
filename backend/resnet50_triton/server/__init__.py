"""Running the real tritonserver: finding one, preparing a model repository, starting and ending the process."""
