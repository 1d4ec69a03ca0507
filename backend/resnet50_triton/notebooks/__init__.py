"""The notebooks, where `pynq get-notebooks` finds them."""
