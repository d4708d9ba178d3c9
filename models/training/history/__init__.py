"""Earlier runs, whose answers taught the shipped network, and how it was chosen; ../HISTORY.md has the commands."""
