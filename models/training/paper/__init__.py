"""The paper's network and those it is compared with; README.md has the commands. Nothing here is shipped."""
