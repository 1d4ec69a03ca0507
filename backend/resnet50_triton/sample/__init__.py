"""The sample: procedurally generated images, and a randomly initialised network with a last layer that knows them."""
