"""Tests of the Python package `tercel`, from outside."""
