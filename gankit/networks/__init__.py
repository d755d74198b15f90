"""Helpers for the networks of several plugins: possible image sizes, class labels and a box filter."""
