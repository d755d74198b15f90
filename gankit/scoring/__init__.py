"""From a run, a checkpoint or a folder of images to an evaluation: who is compared with what, by which components."""
