"""Data: the loader, the order of the images, the cache, decoding, safe zips and prefetching."""
