"""Packing images of one size into a zip of class folders."""
