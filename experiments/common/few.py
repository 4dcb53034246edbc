"""How much training is too little to say anything about what was trained."""

FEW = 100  # steps; a comparison refuses what has fewer, and a budget for fewer is told
