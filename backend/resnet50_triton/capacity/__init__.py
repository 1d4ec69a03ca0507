"""How many cards, decoding cores and machines a load needs: `resnet50-pynq capacity`. See docs/capacity.md."""
