"""Counting tokens: from a prompt to components that add up."""
