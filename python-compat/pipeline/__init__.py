"""The nightly pipeline around Tercel: data, checks, publishing, serving and the report."""
