"""Image files: finding them in folders and zips, checking them, and decoding them in bounded memory and time."""
