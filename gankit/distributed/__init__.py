"""The processes that train one run together: one alone, or several started by torchrun."""
