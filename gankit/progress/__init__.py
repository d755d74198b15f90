"""The display of a run while it trains: its speed, newest events, and a figure in a notebook."""
