"""The sample network: pictures that code draws, and a network that tells them apart. It is not ImageNet."""
