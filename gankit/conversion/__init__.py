"""Weight files of other projects: read without executing their code, recognized, and written as checkpoints."""
