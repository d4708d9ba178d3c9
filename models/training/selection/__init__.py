"""Choosing with the faces that choose: mixtures of weights, constants added to logits, constants of the manifest."""
