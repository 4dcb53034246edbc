"""The tables of results in the pages, made from the files of the results."""
