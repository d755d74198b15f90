"""The HTML pages of runs: one file each, without a server and without access to the network."""
