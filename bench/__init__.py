"""Measures falconer beside other proxies: `python3 -m bench --help`."""
