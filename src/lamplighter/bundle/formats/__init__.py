"""File formats of a bundle's network, one a file: ``write(spec, folder, example, signature) -> file name``."""
