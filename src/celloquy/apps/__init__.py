"""Thin shells over the functions of the library: the command line and the demo."""
