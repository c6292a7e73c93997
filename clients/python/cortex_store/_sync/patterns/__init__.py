"""Generated from _aio/patterns/__init__.py by tools/generate.py: change that file."""
