"""Encodings of images by a codec: computed once, in memory or in a folder of shards."""
