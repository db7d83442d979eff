"""Scenarios: prompts in phases for an agent, driven turn by turn, and a verdict on what it recorded.

``loading`` reads a file into a `plan.Scenario`, ``running`` drives it, ``results`` writes it down.
"""
