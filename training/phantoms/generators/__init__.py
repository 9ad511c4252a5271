"""The artists: each module with a modality's name draws its pictures, the others are the parts of these."""
