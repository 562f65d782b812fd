"""Sections of the settings: what each of them holds, and how what is written in it is read."""
