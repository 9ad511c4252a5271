"""The generators: each module with a modality's name draws its pictures, the others are parts of these."""
