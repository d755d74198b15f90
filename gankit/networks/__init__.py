"""What the networks of several plugins share: possible image sizes, class labels and the box filter."""
