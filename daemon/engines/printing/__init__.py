"""Whether a model can be printed, and making it so."""
