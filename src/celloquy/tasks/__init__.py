"""What is asked: tasks as files, with templates, parsers and metrics; knows no models."""
