"""Training of the three detector networks on WIDER FACE photographs. README.md describes the run."""
