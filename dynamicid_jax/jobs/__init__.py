"""Ordinary commands in a folder of their own, one after the other; broken off anywhere, the same call goes on."""
