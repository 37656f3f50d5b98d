"""Preprocessing in numpy and Pillow; imports no torch, so the server runs the very code that training ran."""
