"""Recurrent proximal policy optimization, whose recurrent layer is exchanged."""
