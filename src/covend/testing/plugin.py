"""A pytest plugin that fails a test which leaves something behind."""
