"""Medical images: readers of each format, what is shown of a file, and the way back to the source's grid."""
