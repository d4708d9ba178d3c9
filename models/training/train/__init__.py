"""The network of the device, its training, and committed files read back into checkpoints."""
