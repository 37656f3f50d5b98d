"""The ground floor: names, recipes, signatures, errors, seeds and files. Imports neither torch nor any other floor."""
