"""Accuracy of the program and of a checkpoint."""
