"""What the scripts share: flags, the screen, pages, figures, names of files."""
