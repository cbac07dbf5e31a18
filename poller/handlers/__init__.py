"""Targets of a mapping, one file a form of FunctionName."""
