"""The command line: one file per command. Only this package prints, exits or handles signals."""
