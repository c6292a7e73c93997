"""The asyncio client. The synchronous one is made of it: see tools/generate.py."""
