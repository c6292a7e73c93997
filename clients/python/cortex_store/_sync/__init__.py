"""The synchronous client. All but io.py is generated from the asyncio one: see tools/generate.py."""
